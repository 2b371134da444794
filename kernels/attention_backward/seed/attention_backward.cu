// Attention backward, bf16, head_dim 128: dQ, dK, dV from Q, K, V, O, the log-sum-exp and dO, tensors (batch, seq, heads, 128).
// The plain version. Four lanes share one row, 32 dimensions each, and visit the rows of the other side one by one, in fp32.
//   rows: D = sum over head_dim of dO * O
//   keys: a key is kept in registers; dV = sum of P dO, dK = sum of dS Q over the queries that see it, dS = P (dO V' - D)
//   queries: a query is kept in registers; dQ = sum of dS K over the keys that it sees
#include <cuda_bf16.h>

#ifndef CAUSAL
#define CAUSAL 0
#endif
#define ROWS 32   // tune: 8 16 32 64  (rows of a block)
#define SCALE 0.08838834764831845f

__device__ void load(const __nv_bfloat16* p, float (&x)[32]) {   // dimensions 0-7, 32-39, ... from where a lane begins
#pragma unroll
    for (int i = 0; i < 4; ++i) {
        const uint4 raw = *reinterpret_cast<const uint4*>(p + i * 32);
        const __nv_bfloat162* h = reinterpret_cast<const __nv_bfloat162*>(&raw);
#pragma unroll
        for (int j = 0; j < 4; ++j) {
            const float2 f = __bfloat1622float2(h[j]);
            x[8 * i + 2 * j] = f.x;
            x[8 * i + 2 * j + 1] = f.y;
        }
    }
}

__device__ void store(__nv_bfloat16* p, const float (&x)[32], float factor) {
#pragma unroll
    for (int i = 0; i < 4; ++i) {
        uint4 raw;
        __nv_bfloat162* h = reinterpret_cast<__nv_bfloat162*>(&raw);
#pragma unroll
        for (int j = 0; j < 4; ++j) h[j] = __floats2bfloat162_rn(x[8 * i + 2 * j] * factor, x[8 * i + 2 * j + 1] * factor);
        *reinterpret_cast<uint4*>(p + i * 32) = raw;
    }
}

__device__ float dot(const float (&x)[32], const float (&y)[32]) {   // over the four lanes of a row
    float sum = 0.0f;
#pragma unroll
    for (int i = 0; i < 32; ++i) sum += x[i] * y[i];
    sum += __shfl_xor_sync(0xffffffffu, sum, 1);
    return sum + __shfl_xor_sync(0xffffffffu, sum, 2);
}

// Element of a tensor (batch, seq, heads, 128) where this lane's part of a row begins.
__device__ long long element(int b, int row, int h, int seq, int heads) {
    return (((long long)b * seq + row) * heads + h) * 128 + threadIdx.x % 4 * 8;
}

extern "C" __global__ void __launch_bounds__(4 * ROWS)
rows(const __nv_bfloat16* o, const __nv_bfloat16* grad, float* sums, int batch, int seq, int heads) {
    const int row = blockIdx.x * ROWS + threadIdx.x / 4, h = blockIdx.y, b = blockIdx.z, read = min(row, seq - 1);
    float x[32], y[32];
    load(o + element(b, read, h, seq, heads), x);
    load(grad + element(b, read, h, seq, heads), y);
    const float sum = dot(x, y);
    if (row < seq && threadIdx.x % 4 == 0) sums[((long long)b * heads + h) * seq + row] = sum;
}

extern "C" __global__ void __launch_bounds__(4 * ROWS)
keys(const __nv_bfloat16* q, const __nv_bfloat16* k, const __nv_bfloat16* v, const float* lse, const __nv_bfloat16* grad,
     const float* sums, __nv_bfloat16* dk, __nv_bfloat16* dv, int batch, int seq, int heads, int kv_heads) {
    const int row = blockIdx.x * ROWS + threadIdx.x / 4, hk = blockIdx.y, b = blockIdx.z, read = min(row, seq - 1);
    const int group = heads / kv_heads, from = CAUSAL ? (int)blockIdx.x * ROWS : 0;
    float key[32], value[32], to_key[32] = {}, to_value[32] = {}, x[32], y[32];
    load(k + element(b, read, hk, seq, kv_heads), key);
    load(v + element(b, read, hk, seq, kv_heads), value);
    for (int h = hk * group; h < hk * group + group; ++h) {
        const long long line = ((long long)b * heads + h) * seq;
        for (int query = from; query < seq; ++query) {
            load(q + element(b, query, h, seq, heads), x);
            load(grad + element(b, query, h, seq, heads), y);
            float p = __expf(dot(x, key) * SCALE - lse[line + query]);
            if (CAUSAL && row > query) p = 0.0f;
            const float ds = p * (dot(y, value) - sums[line + query]);
#pragma unroll
            for (int i = 0; i < 32; ++i) {
                to_value[i] += p * y[i];
                to_key[i] += ds * x[i];
            }
        }
    }
    if (row >= seq) return;
    store(dk + element(b, row, hk, seq, kv_heads), to_key, SCALE);
    store(dv + element(b, row, hk, seq, kv_heads), to_value, 1.0f);
}

extern "C" __global__ void __launch_bounds__(4 * ROWS)
queries(const __nv_bfloat16* q, const __nv_bfloat16* k, const __nv_bfloat16* v, const float* lse, const __nv_bfloat16* grad,
        const float* sums, __nv_bfloat16* dq, int batch, int seq, int heads, int kv_heads) {
    const int row = blockIdx.x * ROWS + threadIdx.x / 4, h = blockIdx.y, b = blockIdx.z, read = min(row, seq - 1);
    const int hk = h / (heads / kv_heads), end = CAUSAL ? min(seq, (int)blockIdx.x * ROWS + ROWS) : seq;
    const long long line = ((long long)b * heads + h) * seq;
    float query[32], above[32], to_query[32] = {}, x[32], y[32];
    load(q + element(b, read, h, seq, heads), query);
    load(grad + element(b, read, h, seq, heads), above);
    const float own_lse = lse[line + read], own_sum = sums[line + read];
    for (int key = 0; key < end; ++key) {
        load(k + element(b, key, hk, seq, kv_heads), x);
        load(v + element(b, key, hk, seq, kv_heads), y);
        float p = __expf(dot(query, x) * SCALE - own_lse);
        if (CAUSAL && key > row) p = 0.0f;
        const float ds = p * (dot(above, y) - own_sum);
#pragma unroll
        for (int i = 0; i < 32; ++i) to_query[i] += ds * x[i];
    }
    if (row < seq) store(dq + element(b, row, h, seq, heads), to_query, SCALE);
}
