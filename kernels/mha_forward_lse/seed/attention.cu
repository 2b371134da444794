// Attention forward, bf16, head_dim 128: out = softmax(Q K^T / sqrt(128)) V, tensors (batch, seq, heads, 128); and the
// logarithm of each row's sum of exponentials, (batch, heads, seq).
// The plain version. Four lanes share one query row, 32 dimensions each; keys are visited one by one with an
// online softmax in fp32. Grid: (ceil(seq / ROWS), heads, batch), 4 * ROWS threads.
#include <cuda_bf16.h>

#ifndef CAUSAL
#define CAUSAL 0
#endif
#define ROWS 32   // tune: 8 16 32 64 128  (query rows of a block)
#define UNROLL 1  // tune: 1 2 4 8  (keys of the inner loop at a time)

__device__ void load8(const __nv_bfloat16* p, float (&x)[8]) {
    const uint4 raw = *reinterpret_cast<const uint4*>(p);
    const __nv_bfloat162* h = reinterpret_cast<const __nv_bfloat162*>(&raw);
    for (int i = 0; i < 4; ++i) {
        const float2 f = __bfloat1622float2(h[i]);
        x[2 * i] = f.x;
        x[2 * i + 1] = f.y;
    }
}

extern "C" __global__ void __launch_bounds__(4 * ROWS)
attention_forward(const __nv_bfloat16* q, const __nv_bfloat16* k, const __nv_bfloat16* v, __nv_bfloat16* out, float* lse,
                  int batch, int seq, int heads, int kv_heads) {
    const int head = blockIdx.y, b = blockIdx.z, kv_head = head / (heads / kv_heads);
    const int row = blockIdx.x * ROWS + threadIdx.x / 4, part = threadIdx.x % 4;
    const int row_read = row < seq ? row : seq - 1;
    const long long q_at = (((long long)b * seq + row_read) * heads + head) * 128 + part * 8;
    const long long kv_at = ((long long)b * seq * kv_heads + kv_head) * 128 + part * 8;
    const float scale = 0.08838834764831845f;

    float qr[4][8], acc[4][8], x[8];
    for (int i = 0; i < 4; ++i) {
        load8(q + q_at + i * 32, qr[i]);
        for (int j = 0; j < 8; ++j) acc[i][j] = 0.0f;
    }
    float m = -INFINITY, sum = 0.0f;
    const int block_keys = CAUSAL ? min(seq, (int)blockIdx.x * ROWS + ROWS) : seq;
#pragma unroll UNROLL
    for (int key = 0; key < block_keys; ++key) {
        const long long at = kv_at + (long long)key * kv_heads * 128;
        float s = 0.0f;
        for (int i = 0; i < 4; ++i) {
            load8(k + at + i * 32, x);
            for (int j = 0; j < 8; ++j) s += qr[i][j] * x[j];
        }
        s += __shfl_xor_sync(0xffffffffu, s, 1);
        s += __shfl_xor_sync(0xffffffffu, s, 2);
        s *= scale;
        if (CAUSAL && key > row) s = -INFINITY;
        const float m_new = fmaxf(m, s), keep = __expf(m - m_new), p = __expf(s - m_new);
        m = m_new;
        sum = sum * keep + p;
        for (int i = 0; i < 4; ++i) {
            load8(v + at + i * 32, x);
            for (int j = 0; j < 8; ++j) acc[i][j] = acc[i][j] * keep + p * x[j];
        }
    }
    if (row >= seq) return;
    if (part == 0) lse[((long long)b * gridDim.y + head) * seq + row] = m + logf(sum);
    for (int i = 0; i < 4; ++i) {
        uint4 raw;
        __nv_bfloat162* h = reinterpret_cast<__nv_bfloat162*>(&raw);
        for (int j = 0; j < 4; ++j) h[j] = __floats2bfloat162_rn(acc[i][2 * j] / sum, acc[i][2 * j + 1] / sum);
        *reinterpret_cast<uint4*>(out + q_at + i * 32) = raw;
    }
}
