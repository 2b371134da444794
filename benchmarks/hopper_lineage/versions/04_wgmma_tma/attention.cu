// Attention forward, bf16, head_dim 128, (batch, seq, heads, 128).
// First Hopper version: wgmma on tiles brought by TMA. Two warpgroups of 64 query rows; the same threads load and compute:
// one thread asks for the next K and V while all wait for the current ones. Keys in blocks of 128, two stages.
// Tensor maps: (d, head, seq, batch), 128-byte swizzle, box (64, 1, 64, 1) for Q and (64, 1, 128, 1) for K and V.
// Grid: ceil(seq / 128) * batch * heads blocks of 256 threads, 163,872 bytes of dynamic shared memory.
#include <cuda_bf16.h>
using u32 = unsigned int;
using u64 = unsigned long long;

#ifndef CAUSAL
#define CAUSAL 0
#endif
#define D 128
#define BM 128
#define BN 128
#define TILE (BN * D * 2)
#define OFF_K 32768
#define OFF_V (OFF_K + 2 * TILE)
#define OFF_BAR (OFF_V + 2 * TILE)
#define SCALE_LOG2 (0.08838834764831845f * 1.4426950408889634f)

// m64n128k16, bf16 operands, fp32 accumulators in registers
__device__ __forceinline__ void wgmma_ss_n128(float (&d)[64], u64 a, u64 b, int accumulate) {
    asm volatile("{\n.reg .pred p;\nsetp.ne.b32 p, %66, 0;\n"
        "wgmma.mma_async.sync.aligned.m64n128k16.f32.bf16.bf16 {"
        "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, "
        "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31, "
        "%32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, "
        "%48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63"
        "}, %64, %65, p, 1, 1, 0, 0;\n}\n"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3]), "+f"(d[4]), "+f"(d[5]), "+f"(d[6]), "+f"(d[7]),
          "+f"(d[8]), "+f"(d[9]), "+f"(d[10]), "+f"(d[11]), "+f"(d[12]), "+f"(d[13]), "+f"(d[14]), "+f"(d[15]),
          "+f"(d[16]), "+f"(d[17]), "+f"(d[18]), "+f"(d[19]), "+f"(d[20]), "+f"(d[21]), "+f"(d[22]), "+f"(d[23]),
          "+f"(d[24]), "+f"(d[25]), "+f"(d[26]), "+f"(d[27]), "+f"(d[28]), "+f"(d[29]), "+f"(d[30]), "+f"(d[31]),
          "+f"(d[32]), "+f"(d[33]), "+f"(d[34]), "+f"(d[35]), "+f"(d[36]), "+f"(d[37]), "+f"(d[38]), "+f"(d[39]),
          "+f"(d[40]), "+f"(d[41]), "+f"(d[42]), "+f"(d[43]), "+f"(d[44]), "+f"(d[45]), "+f"(d[46]), "+f"(d[47]),
          "+f"(d[48]), "+f"(d[49]), "+f"(d[50]), "+f"(d[51]), "+f"(d[52]), "+f"(d[53]), "+f"(d[54]), "+f"(d[55]),
          "+f"(d[56]), "+f"(d[57]), "+f"(d[58]), "+f"(d[59]), "+f"(d[60]), "+f"(d[61]), "+f"(d[62]), "+f"(d[63])
        : "l"(a), "l"(b), "r"(accumulate));
}

__device__ __forceinline__ void wgmma_rs_t_n128(float (&d)[64], unsigned a0, unsigned a1, unsigned a2, unsigned a3, u64 b, int accumulate) {
    asm volatile("{\n.reg .pred p;\nsetp.ne.b32 p, %69, 0;\n"
        "wgmma.mma_async.sync.aligned.m64n128k16.f32.bf16.bf16 {"
        "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, "
        "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31, "
        "%32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, "
        "%48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63"
        "}, {%64, %65, %66, %67}, %68, p, 1, 1, 1;\n}\n"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3]), "+f"(d[4]), "+f"(d[5]), "+f"(d[6]), "+f"(d[7]),
          "+f"(d[8]), "+f"(d[9]), "+f"(d[10]), "+f"(d[11]), "+f"(d[12]), "+f"(d[13]), "+f"(d[14]), "+f"(d[15]),
          "+f"(d[16]), "+f"(d[17]), "+f"(d[18]), "+f"(d[19]), "+f"(d[20]), "+f"(d[21]), "+f"(d[22]), "+f"(d[23]),
          "+f"(d[24]), "+f"(d[25]), "+f"(d[26]), "+f"(d[27]), "+f"(d[28]), "+f"(d[29]), "+f"(d[30]), "+f"(d[31]),
          "+f"(d[32]), "+f"(d[33]), "+f"(d[34]), "+f"(d[35]), "+f"(d[36]), "+f"(d[37]), "+f"(d[38]), "+f"(d[39]),
          "+f"(d[40]), "+f"(d[41]), "+f"(d[42]), "+f"(d[43]), "+f"(d[44]), "+f"(d[45]), "+f"(d[46]), "+f"(d[47]),
          "+f"(d[48]), "+f"(d[49]), "+f"(d[50]), "+f"(d[51]), "+f"(d[52]), "+f"(d[53]), "+f"(d[54]), "+f"(d[55]),
          "+f"(d[56]), "+f"(d[57]), "+f"(d[58]), "+f"(d[59]), "+f"(d[60]), "+f"(d[61]), "+f"(d[62]), "+f"(d[63])
        : "r"(a0), "r"(a1), "r"(a2), "r"(a3), "l"(b), "r"(accumulate));
}


__device__ __forceinline__ u32 smem_u32(const void* p) { return (u32)__cvta_generic_to_shared(p); }
__device__ __forceinline__ void mbar_init(u32 bar, u32 count) {
    asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" :: "r"(bar), "r"(count) : "memory");
}
__device__ __forceinline__ void mbar_expect(u32 bar, u32 bytes) {
    asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" :: "r"(bar), "r"(bytes) : "memory");
}
__device__ __forceinline__ void mbar_wait(u32 bar, u32 parity) {
    asm volatile("{\n.reg .pred p;\nTRY:\nmbarrier.try_wait.parity.shared::cta.b64 p, [%0], %1;\n"
                 "@p bra DONE;\nbra TRY;\nDONE:\n}\n" :: "r"(bar), "r"(parity) : "memory");
}
__device__ __forceinline__ void tma_load(u32 dst, const CUtensorMap* map, u32 bar, int d, int h, int s, int b) {
    asm volatile("cp.async.bulk.tensor.4d.shared::cluster.global.mbarrier::complete_tx::bytes"
                 " [%0], [%1, {%3, %4, %5, %6}], [%2];"
                 :: "r"(dst), "l"(map), "r"(bar), "r"(d), "r"(h), "r"(s), "r"(b) : "memory");
}
__device__ __forceinline__ void tma_store(const CUtensorMap* map, u32 src, int d, int h, int s, int b) {
    asm volatile("cp.async.bulk.tensor.4d.global.shared::cta.bulk_group [%0, {%2, %3, %4, %5}], [%1];"
                 :: "l"(map), "r"(src), "r"(d), "r"(h), "r"(s), "r"(b) : "memory");
}
__device__ __forceinline__ void wgmma_fence() { asm volatile("wgmma.fence.sync.aligned;" ::: "memory"); }
__device__ __forceinline__ void wgmma_finish() {
    asm volatile("wgmma.commit_group.sync.aligned;\nwgmma.wait_group.sync.aligned 0;" ::: "memory");
}
template <int N> __device__ __forceinline__ void hold(float (&r)[N]) {
#pragma unroll
    for (int i = 0; i < N; ++i) asm volatile("" : "+f"(r[i]) :: "memory");
}
__device__ __forceinline__ float ex2(float x) { float y; asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x)); return y; }
__device__ __forceinline__ u32 pack(float lo, float hi) { u32 r; asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(r) : "f"(hi), "f"(lo)); return r; }
// 128-byte swizzle; lbo: bytes between 64-wide column blocks of an MN-major operand
__device__ __forceinline__ u64 smem_desc(u32 addr, u32 lbo) {
    return (u64)((addr & 0x3FFFF) >> 4) | ((u64)(lbo >> 4) << 16) | (64ull << 32) | (1ull << 62);
}

extern "C" __global__ void __launch_bounds__(256, 1)
attention_forward(const __grid_constant__ CUtensorMap map_q, const __grid_constant__ CUtensorMap map_k,
                  const __grid_constant__ CUtensorMap map_v, const __grid_constant__ CUtensorMap map_o,
                  int batch, int seq, int heads, int kv_heads, u32* counter) {
    extern __shared__ __align__(1024) unsigned char smem[];
    const u32 base = smem_u32(smem), bars = base + OFF_BAR;         // barriers: Q, K V of stage 0, K V of stage 1
    const int wg = threadIdx.x >> 7, lane = threadIdx.x & 31, warp = (threadIdx.x >> 5) & 3;
    const int blocks = (seq + BM - 1) / BM;
    const int m = CAUSAL ? blocks - 1 - blockIdx.x % blocks : blockIdx.x % blocks, bh = blockIdx.x / blocks;
    const int h = bh % heads, b = bh / heads, hk = h / (heads / kv_heads), row0 = m * BM + wg * 64;
    const int nb = (min(seq, CAUSAL ? (m + 1) * BM : seq) + BN - 1) / BN;
    if (threadIdx.x == 0) {
        for (int i = 0; i < 3; ++i) mbar_init(bars + i * 8, 1);
        asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
    }
    __syncthreads();
    auto load_kv = [&](int n, int st) {
        const u32 bar = bars + 8 + st * 8, k = base + OFF_K + st * TILE, v = base + OFF_V + st * TILE;
        mbar_expect(bar, 2 * TILE);
        tma_load(k, &map_k, bar, 0, hk, n * BN, b);
        tma_load(k + TILE / 2, &map_k, bar, 64, hk, n * BN, b);
        tma_load(v, &map_v, bar, 0, hk, n * BN, b);
        tma_load(v + TILE / 2, &map_v, bar, 64, hk, n * BN, b);
    };
    if (threadIdx.x == 0) {
        mbar_expect(bars, 32768);
        for (int i = 0; i < 2; ++i) {
            tma_load(base + i * 16384, &map_q, bars, 0, h, m * BM + i * 64, b);
            tma_load(base + i * 16384 + 8192, &map_q, bars, 64, h, m * BM + i * 64, b);
        }
        load_kv(nb - 1, 0);
    }
    float s[64], o[64], m0 = -1e20f, m1 = -1e20f, l0 = 0, l1 = 0;
    u32 p[32];
#pragma unroll
    for (int i = 0; i < 64; ++i) o[i] = 0.0f;
    mbar_wait(bars, 0);
    const u64 q_desc = smem_desc(base + wg * 16384, 16);
    for (int i = 0; i < nb; ++i) {
        const int n = nb - 1 - i, st = i & 1;
        if (threadIdx.x == 0 && n > 0) load_kv(n - 1, st ^ 1);
        mbar_wait(bars + 8 + st * 8, (i >> 1) & 1);
        const u64 k_desc = smem_desc(base + OFF_K + st * TILE, 16), v_desc = smem_desc(base + OFF_V + st * TILE, TILE / 2);
        wgmma_fence();
#pragma unroll
        for (int j = 0; j < 8; ++j) wgmma_ss_n128(s, q_desc + (j / 4) * 512 + (j % 4) * 2, k_desc + (j / 4) * 1024 + (j % 4) * 2, j > 0);
        wgmma_finish();
        hold(s);
        if ((n + 1) * BN > seq || (CAUSAL && (n + 1) * BN - 1 > row0)) {
            const int r = row0 + warp * 16 + (lane >> 2), c = n * BN + (lane & 3) * 2;
            const int lim0 = CAUSAL ? min(r, seq - 1) : seq - 1, lim1 = CAUSAL ? min(r + 8, seq - 1) : seq - 1;
#pragma unroll
            for (int j = 0; j < 64; j += 4) {
                const int key = c + j * 2;
                if (key > lim0) s[j] = -INFINITY;
                if (key + 1 > lim0) s[j + 1] = -INFINITY;
                if (key > lim1) s[j + 2] = -INFINITY;
                if (key + 1 > lim1) s[j + 3] = -INFINITY;
            }
        }
        float n0 = m0, n1 = m1;
#pragma unroll
        for (int j = 0; j < 64; j += 4) { n0 = fmaxf(n0, fmaxf(s[j], s[j + 1])); n1 = fmaxf(n1, fmaxf(s[j + 2], s[j + 3])); }
        n0 = fmaxf(n0, __shfl_xor_sync(0xffffffffu, n0, 1)); n1 = fmaxf(n1, __shfl_xor_sync(0xffffffffu, n1, 1));
        n0 = fmaxf(n0, __shfl_xor_sync(0xffffffffu, n0, 2)); n1 = fmaxf(n1, __shfl_xor_sync(0xffffffffu, n1, 2));
        const float a0 = ex2((m0 - n0) * SCALE_LOG2), a1 = ex2((m1 - n1) * SCALE_LOG2), c0 = n0 * SCALE_LOG2, c1 = n1 * SCALE_LOG2;
        m0 = n0; m1 = n1; l0 *= a0; l1 *= a1;
#pragma unroll
        for (int j = 0; j < 64; j += 4) {
            s[j] = ex2(__fmaf_rn(s[j], SCALE_LOG2, -c0)); s[j + 1] = ex2(__fmaf_rn(s[j + 1], SCALE_LOG2, -c0));
            s[j + 2] = ex2(__fmaf_rn(s[j + 2], SCALE_LOG2, -c1)); s[j + 3] = ex2(__fmaf_rn(s[j + 3], SCALE_LOG2, -c1));
            l0 += s[j] + s[j + 1]; l1 += s[j + 2] + s[j + 3];
            o[j] *= a0; o[j + 1] *= a0; o[j + 2] *= a1; o[j + 3] *= a1;
            p[j / 2] = pack(s[j], s[j + 1]); p[j / 2 + 1] = pack(s[j + 2], s[j + 3]);
        }
        wgmma_fence();
#pragma unroll
        for (int j = 0; j < 8; ++j) wgmma_rs_t_n128(o, p[4 * j], p[4 * j + 1], p[4 * j + 2], p[4 * j + 3], v_desc + j * 128, 1);
        wgmma_finish();
        hold(o);
        __syncthreads();                                            // both warpgroups are done with this stage
    }
    l0 += __shfl_xor_sync(0xffffffffu, l0, 1); l1 += __shfl_xor_sync(0xffffffffu, l1, 1);
    l0 += __shfl_xor_sync(0xffffffffu, l0, 2); l1 += __shfl_xor_sync(0xffffffffu, l1, 2);
    const float i0 = 1.0f / l0, i1 = 1.0f / l1;
    // O through shared memory (where Q was) to a TMA store, which also clips rows past the end
    const u32 dst = base + wg * 16384, row = dst + (warp * 16 + (lane & 15)) * 128;
#pragma unroll
    for (int i = 0; i < 8; ++i) {
        const u32 chunk = (i % 4) * 2 + (lane >> 4);
        asm volatile("stmatrix.sync.aligned.m8n8.x4.shared.b16 [%0], {%1, %2, %3, %4};"
                     :: "r"(row + (i / 4) * 8192 + ((chunk ^ (lane & 7)) << 4)),
                        "r"(pack(o[8 * i] * i0, o[8 * i + 1] * i0)), "r"(pack(o[8 * i + 2] * i1, o[8 * i + 3] * i1)),
                        "r"(pack(o[8 * i + 4] * i0, o[8 * i + 5] * i0)), "r"(pack(o[8 * i + 6] * i1, o[8 * i + 7] * i1)) : "memory");
    }
    asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
    asm volatile("bar.sync %0, 128;" :: "r"(1 + wg) : "memory");
    if (threadIdx.x % 128 == 0) {
        tma_store(&map_o, dst, 0, h, row0, b);
        tma_store(&map_o, dst + 8192, 64, h, row0, b);
        asm volatile("cp.async.bulk.commit_group;\ncp.async.bulk.wait_group 0;" ::: "memory");
    }
}
