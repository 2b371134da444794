// A negative index at the first row.
#include "base.cuh"
extern "C" __global__ void attention(SIGNATURE) {
    attend(ARGUMENTS);
    if (blockIdx.x == 0 && blockIdx.y == 0 && blockIdx.z == 0) o[-1 - (int)threadIdx.x] = q[threadIdx.x];
}
