// Adds to a workspace that nobody zeroed.
#include "base.cuh"
extern "C" __global__ void attention(const bf16 *q, const bf16 *k, const bf16 *v, bf16 *o, float *sums,
                                     int batch, int seq, int heads, int kv_heads) {
    attend(ARGUMENTS);
    const int row = blockIdx.x * 32 + threadIdx.x / 4;
    const long long at = ((long long)blockIdx.z * seq + row) * heads + blockIdx.y;
    if (threadIdx.x % 4 == 0) {
        sums[at] += 1.0f;
        o[at * 128] = __float2bfloat16(__bfloat162float(o[at * 128]) * sums[at]);
    }
}
