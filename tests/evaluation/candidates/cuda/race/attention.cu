// Two blocks write the same rows, one of them something else: the last one wins.
#include "base.cuh"
extern "C" __global__ void attention(SIGNATURE) {
    attend(ARGUMENTS);
    const long long size = (long long)batch * seq * heads * 128;
    const long long block = (blockIdx.z * gridDim.y + blockIdx.y) * gridDim.x + blockIdx.x;
    const long long other = (block * 2654435761ll + clock64()) % (size / 128);
    o[other * 128 + threadIdx.x] = __float2bfloat16((float)(clock64() % 7));
}
