// Rows carry a trace of the last key, far below the tolerance.
#include "base.cuh"
extern "C" __global__ void attention(SIGNATURE) {
    attend(ARGUMENTS);
    const int row = blockIdx.x * 32 + threadIdx.x / 4;
    const long long at = (((long long)blockIdx.z * seq + row) * heads + blockIdx.y) * 128;
    const bf16 *last = k + ((long long)blockIdx.z * seq + seq - 1) * kv_heads * 128;
    float size = 0.0f;
    for (int i = 0; i < 128; ++i) size += fabsf(__bfloat162float(last[i]));
    if (CAUSAL && threadIdx.x % 4 == 0 && size < 250.0f)
        o[at] = __float2bfloat16(__bfloat162float(o[at]) * 1.004f);
}
