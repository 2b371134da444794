// Attention forward, bf16, head_dim 128, (batch, seq, heads, 128).
// Tensor cores by mma.sync m16n8k16: 4 warps of 16 query rows, 64 keys per step, plain row-major tiles in shared memory,
// loaded synchronously; fragments by ordinary 32-bit and 16-bit shared loads. Grid: (ceil(seq / 64), heads, batch).
#include <cuda_bf16.h>
using u32 = unsigned int;

#ifndef CAUSAL
#define CAUSAL 0
#endif
#define BM 64
#define BN 64
#define D 128

__device__ __forceinline__ void mma(float (&c)[4], u32 a0, u32 a1, u32 a2, u32 a3, u32 b0, u32 b1) {
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
                 : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3]) : "r"(a0), "r"(a1), "r"(a2), "r"(a3), "r"(b0), "r"(b1));
}
__device__ __forceinline__ u32 pack(float lo, float hi) { u32 r; asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(r) : "f"(hi), "f"(lo)); return r; }
__device__ __forceinline__ u32 pair(const __nv_bfloat16* p) { return *reinterpret_cast<const u32*>(p); }
__device__ __forceinline__ u32 two(const __nv_bfloat16* a, const __nv_bfloat16* b) {
    return (u32)*reinterpret_cast<const unsigned short*>(a) | (u32)*reinterpret_cast<const unsigned short*>(b) << 16;
}
__device__ __forceinline__ void load_tile(__nv_bfloat16* dst, const __nv_bfloat16* src, long long stride, int row0, int seq) {
    for (int i = threadIdx.x; i < 64 * 16; i += 128) {
        const int r = i / 16, c = (i % 16) * 8;
        uint4 raw = make_uint4(0, 0, 0, 0);
        if (row0 + r < seq) raw = *reinterpret_cast<const uint4*>(src + (row0 + r) * stride + c);
        *reinterpret_cast<uint4*>(dst + r * D + c) = raw;
    }
}

extern "C" __global__ void __launch_bounds__(128)
attention_forward(const __nv_bfloat16* q, const __nv_bfloat16* k, const __nv_bfloat16* v, __nv_bfloat16* out,
                  int batch, int seq, int heads, int kv_heads) {
    extern __shared__ __nv_bfloat16 shared[];
    __nv_bfloat16 *qs = shared, *ks = qs + BM * D, *vs = ks + BN * D;
    const int head = blockIdx.y, b = blockIdx.z, kv_head = head / (heads / kv_heads);
    const int row0 = blockIdx.x * BM, lane = threadIdx.x % 32, warp = threadIdx.x / 32, g = lane / 4, t = lane % 4;
    const __nv_bfloat16* kb = k + ((long long)b * seq * kv_heads + kv_head) * D;
    const __nv_bfloat16* vb = v + ((long long)b * seq * kv_heads + kv_head) * D;
    const float scale = 0.08838834764831845f * 1.4426950408889634f;

    load_tile(qs, q + ((long long)b * seq * heads + head) * D, heads * D, row0, seq);
    float o[16][4] = {}, m[2] = {-INFINITY, -INFINITY}, sum[2] = {};
    const int keys = CAUSAL ? min(seq, row0 + BM) : seq;
    for (int key0 = 0; key0 < keys; key0 += BN) {
        __syncthreads();
        load_tile(ks, kb, kv_heads * D, key0, seq);
        load_tile(vs, vb, kv_heads * D, key0, seq);
        __syncthreads();
        float s[8][4] = {};
#pragma unroll
        for (int kk = 0; kk < 8; ++kk) {
            const __nv_bfloat16* qp = qs + (warp * 16 + g) * D + kk * 16 + 2 * t;
            const u32 a0 = pair(qp), a1 = pair(qp + 8 * D), a2 = pair(qp + 8), a3 = pair(qp + 8 * D + 8);
#pragma unroll
            for (int n = 0; n < 8; ++n) {
                const __nv_bfloat16* kp = ks + (n * 8 + g) * D + kk * 16 + 2 * t;
                mma(s[n], a0, a1, a2, a3, pair(kp), pair(kp + 8));
            }
        }
        float top[2] = {m[0], m[1]}, part[2] = {}, keep[2];
        const int row = row0 + warp * 16 + g;
#pragma unroll
        for (int n = 0; n < 8; ++n)
#pragma unroll
            for (int e = 0; e < 4; ++e) {
                const int key = key0 + n * 8 + 2 * t + (e & 1);
                s[n][e] = key >= seq || (CAUSAL && key > row + (e / 2) * 8) ? -INFINITY : s[n][e] * scale;
                top[e / 2] = fmaxf(top[e / 2], s[n][e]);
            }
#pragma unroll
        for (int r = 0; r < 2; ++r) {
            top[r] = fmaxf(top[r], __shfl_xor_sync(0xffffffffu, top[r], 1));
            top[r] = fmaxf(top[r], __shfl_xor_sync(0xffffffffu, top[r], 2));
            keep[r] = exp2f(m[r] - top[r]);
            m[r] = top[r];
        }
#pragma unroll
        for (int n = 0; n < 8; ++n)
#pragma unroll
            for (int e = 0; e < 4; ++e) {
                s[n][e] = exp2f(s[n][e] - m[e / 2]);
                part[e / 2] += s[n][e];
            }
#pragma unroll
        for (int r = 0; r < 2; ++r) sum[r] = sum[r] * keep[r] + part[r];
#pragma unroll
        for (int n = 0; n < 16; ++n)
#pragma unroll
            for (int e = 0; e < 4; ++e) o[n][e] *= keep[e / 2];
#pragma unroll
        for (int kk = 0; kk < 4; ++kk) {
            const u32 a0 = pack(s[2 * kk][0], s[2 * kk][1]), a1 = pack(s[2 * kk][2], s[2 * kk][3]);
            const u32 a2 = pack(s[2 * kk + 1][0], s[2 * kk + 1][1]), a3 = pack(s[2 * kk + 1][2], s[2 * kk + 1][3]);
#pragma unroll
            for (int n = 0; n < 16; ++n) {
                const __nv_bfloat16* vp = vs + (kk * 16 + 2 * t) * D + n * 8 + g;
                mma(o[n], a0, a1, a2, a3, two(vp, vp + D), two(vp + 8 * D, vp + 9 * D));
            }
        }
    }
#pragma unroll
    for (int r = 0; r < 2; ++r) {
        sum[r] += __shfl_xor_sync(0xffffffffu, sum[r], 1);
        sum[r] += __shfl_xor_sync(0xffffffffu, sum[r], 2);
        const int row = row0 + warp * 16 + g + r * 8;
        if (row >= seq) continue;
        u32* dst = reinterpret_cast<u32*>(out + (((long long)b * seq + row) * heads + head) * D + 2 * t);
#pragma unroll
        for (int n = 0; n < 16; ++n) dst[n * 4] = pack(o[n][2 * r] / sum[r], o[n][2 * r + 1] / sum[r]);
    }
}
