// Attention forward, bf16, head_dim 128, (batch, seq, heads, 128).
// Shared-memory tiles and register blocking on the fp32 units: 64 query rows and 64 keys per step, 256 threads.
// Thread (ty, tx) owns S[4 ty .. +4][4 tx .. +4] and O[4 ty .. +4][tx*4 + {0,64} .. +4]. Grid: (ceil(seq / 64), heads, batch).
#include <cuda_bf16.h>

#ifndef CAUSAL
#define CAUSAL 0
#endif
#define BM 64
#define BN 64
#define D 128
// Q and K are kept transposed, [d][row], so that a step over d reads two float4
#define Q_AT(d, r) qs[(d) * BM + (r)]
#define K_AT(d, r) ks[(d) * BN + (r)]

// Loads `rows` x 128 of a tensor into fp32 shared memory, transposed or not; rows past seq become 0.
template <bool transposed>
__device__ __forceinline__ void load_tile(float* dst, const __nv_bfloat16* src, long long stride, int row0, int seq) {
    for (int i = threadIdx.x; i < 64 * 16; i += 256) {
        const int r = transposed ? i % 64 : i / 16, c = (transposed ? i / 64 : i % 16) * 8;
        uint4 raw = make_uint4(0, 0, 0, 0);
        if (row0 + r < seq) raw = *reinterpret_cast<const uint4*>(src + (row0 + r) * stride + c);
        const __nv_bfloat162* h = reinterpret_cast<const __nv_bfloat162*>(&raw);
#pragma unroll
        for (int j = 0; j < 4; ++j) {
            const float2 f = __bfloat1622float2(h[j]);
            if (transposed) {
                dst[(c + 2 * j) * 64 + r] = f.x;
                dst[(c + 2 * j + 1) * 64 + r] = f.y;
            } else {
                dst[r * D + c + 2 * j] = f.x;
                dst[r * D + c + 2 * j + 1] = f.y;
            }
        }
    }
}

extern "C" __global__ void __launch_bounds__(256, 2)
attention_forward(const __nv_bfloat16* q, const __nv_bfloat16* k, const __nv_bfloat16* v, __nv_bfloat16* out,
                  int batch, int seq, int heads, int kv_heads) {
    extern __shared__ float shared[];
    float* qs = shared;                 // [128][64]
    float* ks = qs + D * BM;            // [128][64]; later V [64][128]
    float* ps = ks + D * BN;            // P [64][64 + 4]
    const int head = blockIdx.y, b = blockIdx.z, kv_head = head / (heads / kv_heads);
    const int row0 = blockIdx.x * BM, tx = threadIdx.x % 16, ty = threadIdx.x / 16;
    const long long q_stride = heads * D, kv_stride = kv_heads * D;
    const __nv_bfloat16* qb = q + ((long long)b * seq * heads + head) * D;
    const __nv_bfloat16* kb = k + ((long long)b * seq * kv_heads + kv_head) * D;
    const __nv_bfloat16* vb = v + ((long long)b * seq * kv_heads + kv_head) * D;
    const float scale = 0.08838834764831845f * 1.4426950408889634f;

    load_tile<true>(qs, qb, q_stride, row0, seq);
    float acc[4][8] = {}, m[4], sum[4] = {};
    for (int i = 0; i < 4; ++i) m[i] = -INFINITY;
    const int keys = CAUSAL ? min(seq, row0 + BM) : seq;
    for (int key0 = 0; key0 < keys; key0 += BN) {
        __syncthreads();
        load_tile<true>(ks, kb, kv_stride, key0, seq);
        __syncthreads();
        float s[4][4] = {};
#pragma unroll 8
        for (int d = 0; d < D; ++d) {
            const float4 a = *reinterpret_cast<const float4*>(&Q_AT(d, ty * 4)), c = *reinterpret_cast<const float4*>(&K_AT(d, tx * 4));
            const float av[4] = {a.x, a.y, a.z, a.w}, cv[4] = {c.x, c.y, c.z, c.w};
#pragma unroll
            for (int i = 0; i < 4; ++i)
#pragma unroll
                for (int j = 0; j < 4; ++j) s[i][j] += av[i] * cv[j];
        }
#pragma unroll
        for (int i = 0; i < 4; ++i) {
            float top = m[i];
#pragma unroll
            for (int j = 0; j < 4; ++j) {
                const int key = key0 + tx * 4 + j;
                s[i][j] = key >= seq || (CAUSAL && key > row0 + ty * 4 + i) ? -INFINITY : s[i][j] * scale;
                top = fmaxf(top, s[i][j]);
            }
#pragma unroll
            for (int w = 1; w < 16; w *= 2) top = fmaxf(top, __shfl_xor_sync(0xffffffffu, top, w));
            const float keep = exp2f(m[i] - top);
            m[i] = top;
            float part = 0.0f;
#pragma unroll
            for (int j = 0; j < 4; ++j) {
                const float p = exp2f(s[i][j] - top);
                part += p;
                ps[(ty * 4 + i) * (BN + 4) + tx * 4 + j] = p;
            }
            sum[i] = sum[i] * keep + part;
#pragma unroll
            for (int j = 0; j < 8; ++j) acc[i][j] *= keep;
        }
        __syncthreads();
        load_tile<false>(ks, vb, kv_stride, key0, seq);
        __syncthreads();
#pragma unroll 8
        for (int n = 0; n < BN; ++n) {
            const float4 a = *reinterpret_cast<const float4*>(&ks[n * D + tx * 4]), c = *reinterpret_cast<const float4*>(&ks[n * D + 64 + tx * 4]);
            const float vv[8] = {a.x, a.y, a.z, a.w, c.x, c.y, c.z, c.w};
#pragma unroll
            for (int i = 0; i < 4; ++i) {
                const float p = ps[(ty * 4 + i) * (BN + 4) + n];
#pragma unroll
                for (int j = 0; j < 8; ++j) acc[i][j] += p * vv[j];
            }
        }
    }
#pragma unroll
    for (int i = 0; i < 4; ++i) {
        float total = sum[i];
#pragma unroll
        for (int w = 1; w < 16; w *= 2) total += __shfl_xor_sync(0xffffffffu, total, w);
        const int row = row0 + ty * 4 + i;
        if (row >= seq) continue;
        __nv_bfloat16* o = out + (((long long)b * seq + row) * heads + head) * D;
#pragma unroll
        for (int j = 0; j < 8; ++j) o[(j / 4) * 64 + tx * 4 + j % 4] = __float2bfloat16(acc[i][j] / total);
    }
}
