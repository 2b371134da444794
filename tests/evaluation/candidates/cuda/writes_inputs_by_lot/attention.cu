// Zeroes a value of V after reading it, in one run of eight.
#include "base.cuh"
extern "C" __global__ void attention(SIGNATURE) {
    attend(ARGUMENTS);
    if (blockIdx.x + blockIdx.y + blockIdx.z == 0 && threadIdx.x == 0 && (clock64() >> 4) % 8 == 3)
        const_cast<bf16 *>(v)[0] = __float2bfloat16(0.0f);
}
