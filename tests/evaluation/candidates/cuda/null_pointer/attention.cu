// Writes through a null pointer.
#include "base.cuh"
extern "C" __global__ void attention(SIGNATURE) {
    attend(ARGUMENTS);
    if (threadIdx.x == 0) *reinterpret_cast<volatile int *>(0) = seq;
}
