// One row too many at the end of the output.
#include "base.cuh"
extern "C" __global__ void attention(SIGNATURE) {
    attend(ARGUMENTS);
    const long long size = (long long)batch * seq * heads * 128;
    if (blockIdx.x == 0 && blockIdx.y == 0 && blockIdx.z == 0) o[size + threadIdx.x] = q[threadIdx.x];
}
