// The honest kernel that the cheats beside it change in one place: four lanes share a query row,
// keys are visited one by one. Included by every candidate of this folder.
#pragma once
#include <cuda_bf16.h>

typedef __nv_bfloat16 bf16;

#ifndef MASKED
#define MASKED(key, row) (CAUSAL && (key) > (row))
#endif
#ifndef SKIPPED
#define SKIPPED(key) false
#endif
#ifndef LAST_KEY
#define LAST_KEY(row_end) (CAUSAL ? min(seq, (row_end)) : seq)
#endif
#ifndef SCORE
#define SCORE(s) (s)
#endif
#ifndef WEIGHT
#define WEIGHT(p) (p)
#endif
#ifndef VALUE
#define VALUE(x) (x)
#endif
#ifndef MAXIMUM
#define MAXIMUM(m, s) fmaxf(m, s)
#endif
#ifndef SUM
#define SUM(x) (x)
#endif
#ifndef KEEP
#define KEEP(x) (x)
#endif
#ifndef FIRST_MAXIMUM
#define FIRST_MAXIMUM (-INFINITY)
#endif
#ifndef KV_HEAD
#define KV_HEAD(head) ((head) / (heads / kv_heads))
#endif
#ifndef RESULT
#define RESULT(x) (x)
#endif

#define SIGNATURE const bf16 *q, const bf16 *k, const bf16 *v, bf16 *o, int batch, int seq, \
                  int heads, int kv_heads
#define ARGUMENTS q, k, v, o, batch, seq, heads, kv_heads

__device__ void load8(const bf16 *p, float (&x)[8]) {
    const uint4 raw = *reinterpret_cast<const uint4 *>(p);
    const __nv_bfloat162 *h = reinterpret_cast<const __nv_bfloat162 *>(&raw);
    for (int i = 0; i < 4; ++i) {
        const float2 f = __bfloat1622float2(h[i]);
        x[2 * i] = f.x;
        x[2 * i + 1] = f.y;
    }
}

__device__ void attend(SIGNATURE) {
    const int head = blockIdx.y, b = blockIdx.z, kv_head = KV_HEAD(head);
    const int row = blockIdx.x * 32 + threadIdx.x / 4, part = threadIdx.x % 4;
    const long long q_at = (((long long)b * seq + row) * heads + head) * 128 + part * 8;
    const long long kv_at = ((long long)b * seq * kv_heads + kv_head) * 128 + part * 8;
    float qr[4][8], acc[4][8], x[8];
    for (int i = 0; i < 4; ++i) {
        load8(q + q_at + i * 32, qr[i]);
        for (int j = 0; j < 8; ++j) acc[i][j] = 0.0f;
    }
    float m = FIRST_MAXIMUM, sum = 0.0f;
    for (int key = 0; key < LAST_KEY((int)blockIdx.x * 32 + 32); ++key) {
        if (SKIPPED(key)) continue;
        const long long at = kv_at + (long long)key * kv_heads * 128;
        float s = 0.0f;
        for (int i = 0; i < 4; ++i) {
            load8(k + at + i * 32, x);
            for (int j = 0; j < 8; ++j) s += qr[i][j] * x[j];
        }
        s += __shfl_xor_sync(0xffffffffu, s, 1);
        s += __shfl_xor_sync(0xffffffffu, s, 2);
        s = SCORE(s * 0.08838834764831845f);
        if (MASKED(key, row)) s = -INFINITY;
        const float m_new = MAXIMUM(m, s), keep = __expf(m - m_new), p = WEIGHT(__expf(s - m_new));
        m = m_new;
        sum = SUM(sum * keep + p);
        for (int i = 0; i < 4; ++i) {
            load8(v + at + i * 32, x);
            for (int j = 0; j < 8; ++j) acc[i][j] = acc[i][j] * KEEP(keep) + p * VALUE(x[j]);
        }
    }
    for (int i = 0; i < 4; ++i)
        for (int j = 0; j < 8; ++j)
            o[q_at + i * 32 + j] = __float2bfloat16(RESULT(acc[i][j] / sum));
}
