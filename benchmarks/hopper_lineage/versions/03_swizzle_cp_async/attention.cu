// Attention forward, bf16, head_dim 128, (batch, seq, heads, 128).
// The Ampere design: XOR-swizzled tiles, ldmatrix, two-stage cp.async for K and V, scale folded into exp2.
// 4 warps of 32 query rows (each K or V fragment serves two row tiles), 64 keys per step. Grid: (ceil(seq / 128), heads, batch).
#include <cuda_bf16.h>
using u32 = unsigned int;

#ifndef CAUSAL
#define CAUSAL 0
#endif
#define BM 128
#define BN 64
#define D 128
#define TILE (BN * D * 2)

__device__ __forceinline__ void mma(float (&c)[4], const u32 (&a)[4], u32 b0, u32 b1) {
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
                 : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3]) : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}
__device__ __forceinline__ void ldsm(u32 (&r)[4], u32 addr) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];" : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3]) : "r"(addr));
}
__device__ __forceinline__ void ldsm_t(u32 (&r)[4], u32 addr) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];" : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3]) : "r"(addr));
}
__device__ __forceinline__ float ex2(float x) { float y; asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x)); return y; }
__device__ __forceinline__ u32 pack(float lo, float hi) { u32 r; asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(r) : "f"(hi), "f"(lo)); return r; }
// 16-byte chunk c (0..15) of row r: the low three bits of the chunk are XORed with the row
__device__ __forceinline__ u32 at(u32 base, int r, int c) { return base + r * 256 + ((c ^ (r & 7)) << 4); }
template <int ROWS>
__device__ __forceinline__ void copy_tile(u32 dst, const __nv_bfloat16* src, long long stride, int row0, int seq) {
#pragma unroll
    for (int i = 0; i < ROWS * 16 / 128; ++i) {
        const int r = (threadIdx.x >> 4) + i * 8, c = threadIdx.x & 15;
        const bool in = row0 + r < seq;
        const __nv_bfloat16* p = src + (long long)(in ? row0 + r : 0) * stride + c * 8;
        asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" :: "r"(at(dst, r, c)), "l"(p), "r"(in ? 16 : 0) : "memory");
    }
    asm volatile("cp.async.commit_group;" ::: "memory");
}

extern "C" __global__ void __launch_bounds__(128)
attention_forward(const __nv_bfloat16* q, const __nv_bfloat16* k, const __nv_bfloat16* v, __nv_bfloat16* out,
                  int batch, int seq, int heads, int kv_heads) {
    extern __shared__ __align__(1024) unsigned char shared[];
    const u32 qs = (u32)__cvta_generic_to_shared(shared), ks = qs + BM * D * 2, vs = ks + 2 * TILE;
    const int head = blockIdx.y, b = blockIdx.z, kv_head = head / (heads / kv_heads);
    const int mb = CAUSAL ? gridDim.x - 1 - blockIdx.x : blockIdx.x;
    const int row0 = mb * BM, lane = threadIdx.x % 32, warp = threadIdx.x / 32, g = lane / 4, t = lane % 4;
    const __nv_bfloat16* kb = k + ((long long)b * seq * kv_heads + kv_head) * D;
    const __nv_bfloat16* vb = v + ((long long)b * seq * kv_heads + kv_head) * D;
    const float scale = 0.08838834764831845f * 1.4426950408889634f;
    const int blocks = (min(seq, CAUSAL ? row0 + BM : seq) + BN - 1) / BN;

    copy_tile<BM>(qs, q + ((long long)b * seq * heads + head) * D, heads * D, row0, seq);
    copy_tile<BN>(ks, kb, kv_heads * D, 0, seq);
    float o[2][16][4] = {}, m[2][2], sum[2][2] = {};
    m[0][0] = m[0][1] = m[1][0] = m[1][1] = -INFINITY;
    const int r16 = lane & 15, hi = lane >> 4;
    for (int n = 0; n < blocks; ++n) {
        const u32 kt = ks + (n & 1) * TILE, vt = vs + (n & 1) * TILE;
        copy_tile<BN>(vt, vb, kv_heads * D, n * BN, seq);
        asm volatile("cp.async.wait_group 1;" ::: "memory");       // K of this block is there
        __syncthreads();
        float s[2][8][4] = {};
#pragma unroll
        for (int kk = 0; kk < 8; ++kk) {
            u32 a[2][4];
            ldsm(a[0], at(qs, warp * 32 + r16, kk * 2 + hi));
            ldsm(a[1], at(qs, warp * 32 + 16 + r16, kk * 2 + hi));
#pragma unroll
            for (int j = 0; j < 4; ++j) {
                u32 f[4];
                ldsm(f, at(kt, j * 16 + r16, kk * 2 + hi));
#pragma unroll
                for (int i = 0; i < 2; ++i) {
                    mma(s[i][2 * j], a[i], f[0], f[2]);
                    mma(s[i][2 * j + 1], a[i], f[1], f[3]);
                }
            }
        }
        // next K while the softmax and the second product run; its buffer was last read one step ago
        if (n + 1 < blocks) copy_tile<BN>(ks + ((n + 1) & 1) * TILE, kb, kv_heads * D, (n + 1) * BN, seq);
        const bool masked = (n + 1) * BN > seq || (CAUSAL && (n + 1) * BN > row0);
#pragma unroll
        for (int i = 0; i < 2; ++i) {
            const int row = row0 + warp * 32 + i * 16 + g;
            if (masked) {
#pragma unroll
                for (int j = 0; j < 8; ++j)
#pragma unroll
                    for (int e = 0; e < 4; ++e) {
                        const int key = n * BN + j * 8 + 2 * t + (e & 1);
                        if (key >= seq || (CAUSAL && key > row + (e / 2) * 8)) s[i][j][e] = -INFINITY;
                    }
            }
            float top[2] = {m[i][0], m[i][1]}, part[2] = {};
#pragma unroll
            for (int j = 0; j < 8; ++j)
#pragma unroll
                for (int e = 0; e < 4; ++e) top[e / 2] = fmaxf(top[e / 2], s[i][j][e]);
#pragma unroll
            for (int r = 0; r < 2; ++r) {
                top[r] = fmaxf(top[r], __shfl_xor_sync(0xffffffffu, top[r], 1));
                top[r] = fmaxf(top[r], __shfl_xor_sync(0xffffffffu, top[r], 2));
                top[r] = fmaxf(top[r], -1e20f);                    // a fully masked row of a causal block
                const float keep = ex2((m[i][r] - top[r]) * scale);
                m[i][r] = top[r];
                sum[i][r] *= keep;
#pragma unroll
                for (int j = 0; j < 16; ++j) { o[i][j][2 * r] *= keep; o[i][j][2 * r + 1] *= keep; }
            }
#pragma unroll
            for (int j = 0; j < 8; ++j)
#pragma unroll
                for (int e = 0; e < 4; ++e) {
                    s[i][j][e] = ex2(__fmaf_rn(s[i][j][e], scale, -m[i][e / 2] * scale));
                    part[e / 2] += s[i][j][e];
                }
            sum[i][0] += part[0];
            sum[i][1] += part[1];
        }
        if (n + 1 < blocks) asm volatile("cp.async.wait_group 1;" ::: "memory");   // V of this block is there
        else asm volatile("cp.async.wait_group 0;" ::: "memory");
        __syncthreads();
#pragma unroll
        for (int kk = 0; kk < 4; ++kk) {
            u32 a[2][4];
#pragma unroll
            for (int i = 0; i < 2; ++i) {
                a[i][0] = pack(s[i][2 * kk][0], s[i][2 * kk][1]); a[i][1] = pack(s[i][2 * kk][2], s[i][2 * kk][3]);
                a[i][2] = pack(s[i][2 * kk + 1][0], s[i][2 * kk + 1][1]); a[i][3] = pack(s[i][2 * kk + 1][2], s[i][2 * kk + 1][3]);
            }
#pragma unroll
            for (int j = 0; j < 8; ++j) {
                u32 f[4];
                ldsm_t(f, at(vt, kk * 16 + r16, j * 2 + hi));
#pragma unroll
                for (int i = 0; i < 2; ++i) {
                    mma(o[i][2 * j], a[i], f[0], f[1]);
                    mma(o[i][2 * j + 1], a[i], f[2], f[3]);
                }
            }
        }
    }
#pragma unroll
    for (int i = 0; i < 2; ++i)
#pragma unroll
        for (int r = 0; r < 2; ++r) {
            float total = sum[i][r];
            total += __shfl_xor_sync(0xffffffffu, total, 1);
            total += __shfl_xor_sync(0xffffffffu, total, 2);
            const int row = row0 + warp * 32 + i * 16 + g + r * 8;
            if (row >= seq) continue;
            u32* dst = reinterpret_cast<u32*>(out + (((long long)b * seq + row) * heads + head) * D + 2 * t);
#pragma unroll
            for (int j = 0; j < 16; ++j) dst[j * 4] = pack(o[i][j][2 * r] / total, o[i][j][2 * r + 1] / total);
        }
}
