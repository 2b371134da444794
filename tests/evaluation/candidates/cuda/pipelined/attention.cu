// Attention forward for Hopper, everything at once. A cluster of CTAs takes neighbouring tiles of 128 query rows of one
// head. In each CTA one thread brings K and V by TMA, its share of every block multicast to the whole cluster, through
// rings of mbarriers; two warpgroups multiply by wgmma; registers are shared out by setmaxnreg. The output is staged in
// a workspace by TMA and copied from there by a second, dependent launch.
//
// Nothing here can wait for ever: all CTAs of a cluster go through the same number of blocks, that of the one with the
// most (the others mask all of a block that they need not see), because every block needs every CTA's share; a slot is
// filled again once all CTAs have left it; and no CTA ends before the others have ended with its shared memory.
using u32 = unsigned int;
using u64 = unsigned long long;

#define BM 128   // query rows of a CTA, 64 for each of two warpgroups
#define BN 128   // keys of a block
#define D 128
#define STAGES 2   // depth of the rings of K and V
#define CONSUMER_WARPS 8
#define REGISTERS_CONSUMER 232   // 2 * 232 + 40 = 3 * 168, what a thread has at launch
#define REGISTERS_PRODUCER 40

// A tile of 128 columns lies in shared memory as two halves of 64, rows of 128 bytes, swizzled.
#define Q_HALF_BYTES (64 * 128)
#define Q_BYTES (4 * Q_HALF_BYTES)
#define KV_HALF_BYTES (BN * 128)
#define KV_BYTES (2 * KV_HALF_BYTES)
#define OFF_K Q_BYTES
#define OFF_V (OFF_K + STAGES * KV_BYTES)
#define OFF_BARRIERS (OFF_V + STAGES * KV_BYTES)   // 163,840; the manifest adds 128 bytes for barriers
#define K_FULL(i) (barriers + 8 * (i))
#define K_EMPTY(i) (barriers + 8 * (STAGES + (i)))
#define V_FULL(i) (barriers + 8 * (2 * STAGES + (i)))
#define V_EMPTY(i) (barriers + 8 * (3 * STAGES + (i)))
#define Q_FULL (barriers + 8 * (4 * STAGES))

#define SCALE_LOG2 (0.08838834764831845f * 1.4426950408889634f)
#define MASKED __int_as_float(0xff800000)
#define LOWEST -1e30f   // a maximum before anything was seen; finite, so that a masked block leaves all as it is

// wgmma m64nNk16, bf16 operands, fp32 accumulators in registers
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
__device__ __forceinline__ void mbar_arrive_at(u32 bar, u32 cta) {
    asm volatile("{\n.reg .b32 there;\nmapa.shared::cluster.u32 there, %0, %1;\n"
                 "mbarrier.arrive.release.cluster.shared::cluster.b64 _, [there];\n}\n" :: "r"(bar), "r"(cta) : "memory");
}
// Acquire at cluster scope: what is waited for may have been written, or read, by another CTA.
__device__ __forceinline__ void mbar_wait(u32 bar, u32 parity) {
    asm volatile("{\n.reg .pred p;\nTRY:\n"
                 "mbarrier.try_wait.parity.acquire.cluster.shared::cta.b64 p, [%0], %1;\n"
                 "@p bra DONE;\nbra TRY;\nDONE:\n}\n" :: "r"(bar), "r"(parity) : "memory");
}
__device__ __forceinline__ void tma_load(u32 dst, const CUtensorMap* map, u32 bar, int d, int h, int s, int b) {
    asm volatile("cp.async.bulk.tensor.4d.shared::cluster.global.mbarrier::complete_tx::bytes"
                 " [%0], [%1, {%3, %4, %5, %6}], [%2];"
                 :: "r"(dst), "l"(map), "r"(bar), "r"(d), "r"(h), "r"(s), "r"(b) : "memory");
}
__device__ __forceinline__ void tma_load_to_all(u32 dst, const CUtensorMap* map, u32 bar, int d, int h, int s, int b) {
    asm volatile("cp.async.bulk.tensor.4d.shared::cluster.global.mbarrier::complete_tx::bytes.multicast::cluster"
                 " [%0], [%1, {%3, %4, %5, %6}], [%2], %7;"
                 :: "r"(dst), "l"(map), "r"(bar), "r"(d), "r"(h), "r"(s), "r"(b), "h"((unsigned short)((1 << CLUSTER) - 1))
                 : "memory");
}
__device__ __forceinline__ void tma_store(const CUtensorMap* map, u32 src, int d, int h, int s, int b) {
    asm volatile("cp.async.bulk.tensor.4d.global.shared::cta.bulk_group [%0, {%2, %3, %4, %5}], [%1];"
                 :: "l"(map), "r"(src), "r"(d), "r"(h), "r"(s), "r"(b) : "memory");
}
__device__ __forceinline__ void wgmma_fence() { asm volatile("wgmma.fence.sync.aligned;" ::: "memory"); }
__device__ __forceinline__ void wgmma_finish() {
    asm volatile("wgmma.commit_group.sync.aligned;\nwgmma.wait_group.sync.aligned 0;" ::: "memory");
}
// Keeps the compiler from moving uses of what an asynchronous product reads or writes across this point.
template <int N> __device__ __forceinline__ void hold(float (&r)[N]) {
#pragma unroll
    for (int i = 0; i < N; ++i) asm volatile("" : "+f"(r[i]) :: "memory");
}
template <int N> __device__ __forceinline__ void hold(u32 (&r)[N]) {
#pragma unroll
    for (int i = 0; i < N; ++i) asm volatile("" : "+r"(r[i]) :: "memory");
}
__device__ __forceinline__ void cluster_sync() {
    __syncwarp();
    asm volatile("barrier.cluster.arrive.release.aligned;\nbarrier.cluster.wait.acquire.aligned;" ::: "memory");
}
__device__ __forceinline__ float ex2(float x) { float y; asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x)); return y; }
__device__ __forceinline__ u32 pack(float lo, float hi) { u32 r; asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(r) : "f"(hi), "f"(lo)); return r; }

// 128-byte swizzle; lbo: bytes between 64-wide column blocks of an MN-major operand
__device__ __forceinline__ u64 smem_desc(u32 addr, u32 lbo) {
    return (u64)((addr & 0x3FFFF) >> 4) | ((u64)(lbo >> 4) << 16) | (64ull << 32) | (1ull << 62);
}
// Adding n to a descriptor moves its start by 16 n bytes.
__device__ __forceinline__ void issue_qk(float (&s)[BN / 2], u64 q, u64 k) {
#pragma unroll
    for (int i = 0; i < D / 16; ++i)
        wgmma_ss_n128(s, q + (i / 4) * (Q_HALF_BYTES / 16) + (i % 4) * 2, k + (i / 4) * (KV_HALF_BYTES / 16) + (i % 4) * 2, i > 0);
}
__device__ __forceinline__ void issue_pv(float (&o)[D / 2], const u32 (&p)[BN / 4], u64 v) {
#pragma unroll
    for (int i = 0; i < BN / 16; ++i)
        wgmma_rs_t_n128(o, p[4 * i], p[4 * i + 1], p[4 * i + 2], p[4 * i + 3], v + i * 128, 1);
}

// Keys beyond `last`, and for causal attention beyond the row, get no weight. A thread has rows r and r + 8.
__device__ __forceinline__ void mask(float (&s)[BN / 2], int key0, int r, int last) {
    const int key = key0 + (threadIdx.x & 3) * 2;
    const int end0 = CAUSAL ? min(r, last) : last, end1 = CAUSAL ? min(r + 8, last) : last;
#pragma unroll
    for (int j = 0; j < BN / 2; j += 4) {
        if (key + 2 * j > end0) s[j] = MASKED;
        if (key + 2 * j + 1 > end0) s[j + 1] = MASKED;
        if (key + 2 * j > end1) s[j + 2] = MASKED;
        if (key + 2 * j + 1 > end1) s[j + 3] = MASKED;
    }
}
// The larger of m0, m1 and the maxima of rows r and r + 8, over the four lanes that share them.
__device__ __forceinline__ void row_max(const float (&s)[BN / 2], float& m0, float& m1) {
#pragma unroll
    for (int j = 0; j < BN / 2; j += 4) {
        m0 = fmaxf(m0, fmaxf(s[j], s[j + 1]));
        m1 = fmaxf(m1, fmaxf(s[j + 2], s[j + 3]));
    }
#pragma unroll
    for (int lanes = 1; lanes < 4; lanes *= 2) {
        m0 = fmaxf(m0, __shfl_xor_sync(0xffffffffu, m0, lanes));
        m1 = fmaxf(m1, __shfl_xor_sync(0xffffffffu, m1, lanes));
    }
}
// One step of the online softmax: s becomes weights, packed into p; o and the sums come to the new maxima.
__device__ __forceinline__ void softmax(float (&s)[BN / 2], u32 (&p)[BN / 4], float (&o)[D / 2], float& m0, float& m1, float& l0, float& l1) {
    const float before0 = m0, before1 = m1;
    row_max(s, m0, m1);
    const float a0 = ex2((before0 - m0) * SCALE_LOG2), a1 = ex2((before1 - m1) * SCALE_LOG2);
    float x0 = 0, x1 = 0;
#pragma unroll
    for (int j = 0; j < BN / 2; j += 4) {
        s[j] = ex2(__fmaf_rn(s[j], SCALE_LOG2, -m0 * SCALE_LOG2));
        s[j + 1] = ex2(__fmaf_rn(s[j + 1], SCALE_LOG2, -m0 * SCALE_LOG2));
        s[j + 2] = ex2(__fmaf_rn(s[j + 2], SCALE_LOG2, -m1 * SCALE_LOG2));
        s[j + 3] = ex2(__fmaf_rn(s[j + 3], SCALE_LOG2, -m1 * SCALE_LOG2));
        x0 += s[j] + s[j + 1]; x1 += s[j + 2] + s[j + 3];
        p[j / 2] = pack(s[j], s[j + 1]); p[j / 2 + 1] = pack(s[j + 2], s[j + 3]);
    }
    l0 = l0 * a0 + x0; l1 = l1 * a1 + x1;
#pragma unroll
    for (int j = 0; j < D / 2; j += 4) { o[j] *= a0; o[j + 1] *= a0; o[j + 2] *= a1; o[j + 3] *= a1; }
}
// The tile of a warpgroup into shared memory, in the layout that the store's descriptor expects.
__device__ __forceinline__ void write_o(u32 tile, const float (&o)[D / 2], float i0, float i1) {
    const int lane = threadIdx.x & 31, warp = (threadIdx.x >> 5) & 3;
    const u32 row = tile + (warp * 16 + (lane & 15)) * 128;
#pragma unroll
    for (int i = 0; i < D / 16; ++i) {
        const u32 chunk = (i % 4) * 2 + (lane >> 4);
        asm volatile("stmatrix.sync.aligned.m8n8.x4.shared.b16 [%0], {%1, %2, %3, %4};"
                     :: "r"(row + (i / 4) * Q_HALF_BYTES + ((chunk ^ (lane & 7)) << 4)),
                        "r"(pack(o[8 * i] * i0, o[8 * i + 1] * i0)), "r"(pack(o[8 * i + 2] * i1, o[8 * i + 3] * i1)),
                        "r"(pack(o[8 * i + 4] * i0, o[8 * i + 5] * i0)), "r"(pack(o[8 * i + 6] * i1, o[8 * i + 7] * i1)) : "memory");
    }
}

extern "C" __global__ void __launch_bounds__(384, 1)
attention_forward(const __grid_constant__ CUtensorMap map_q, const __grid_constant__ CUtensorMap map_k,
                  const __grid_constant__ CUtensorMap map_v, const __grid_constant__ CUtensorMap map_o,
                  int seq, int heads, int kv_heads) {
    extern __shared__ __align__(1024) unsigned char smem[];
    const u32 base = smem_u32(smem), barriers = base + OFF_BARRIERS;
    const int group = __shfl_sync(0xffffffffu, threadIdx.x >> 7, 0), warp = (threadIdx.x >> 5) & 3, lane = threadIdx.x & 31;
    u32 rank;
    asm volatile("mov.u32 %0, %%cluster_ctarank;" : "=r"(rank));
    if (threadIdx.x == 0) {
        for (int i = 0; i < STAGES; ++i) {
            mbar_init(K_FULL(i), 1); mbar_init(K_EMPTY(i), CONSUMER_WARPS * CLUSTER);
            mbar_init(V_FULL(i), 1); mbar_init(V_EMPTY(i), CONSUMER_WARPS * CLUSTER);
        }
        mbar_init(Q_FULL, 1);
        asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
    }
    cluster_sync();   // no CTA sends anything before all have their barriers

    const int tiles = (seq + BM * CLUSTER - 1) / (BM * CLUSTER), unit = blockIdx.x / CLUSTER;
    const int first_row = unit % tiles * (BM * CLUSTER), row0 = first_row + rank * BM;
    const int b = unit / tiles / heads, h = unit / tiles % heads, hk = h / (heads / kv_heads);
    const int keys = CAUSAL ? min(seq, first_row + BM * CLUSTER) : seq;   // of the cluster, not of this CTA
    const int blocks = (keys + BN - 1) / BN;

    if (group == 0) {
        asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" :: "n"(REGISTERS_PRODUCER));
        if (warp == 0 && lane == 0) {
            mbar_expect(Q_FULL, Q_BYTES);
#pragma unroll
            for (int i = 0; i < 4; ++i)
                tma_load(base + i * Q_HALF_BYTES, &map_q, Q_FULL, i % 2 * 64, h, row0 + i / 2 * 64, b);
            auto bring = [&](const CUtensorMap* map, u32 full, u32 empty, u32 slot, int block, u32 again) {
                mbar_wait(empty, again ^ 1);
                mbar_expect(full, KV_BYTES);
                const int share = rank * (BN / CLUSTER);
                tma_load_to_all(slot + share * 128, map, full, 0, hk, block * BN + share, b);
                tma_load_to_all(slot + KV_HALF_BYTES + share * 128, map, full, 64, hk, block * BN + share, b);
            };
            for (int block = 0; block < blocks; ++block) {
                const int i = block % STAGES;
                const u32 again = block / STAGES & 1;
                bring(&map_k, K_FULL(i), K_EMPTY(i), base + OFF_K + i * KV_BYTES, block, again);
                bring(&map_v, V_FULL(i), V_EMPTY(i), base + OFF_V + i * KV_BYTES, block, again);
            }
        }
    } else {
        asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" :: "n"(REGISTERS_CONSUMER));
        const u32 tile = base + (group - 1) * (2 * Q_HALF_BYTES);
        const int group_row = row0 + (group - 1) * 64, row = group_row + warp * 16 + (lane >> 2);
        const u64 q = smem_desc(tile, 16), k = smem_desc(base + OFF_K, 16), v = smem_desc(base + OFF_V, KV_HALF_BYTES);
        // Every warp tells every CTA of the cluster that it has left a slot.
        auto leave = [&](u32 empty) {
            __syncwarp();
            if (lane < CLUSTER) mbar_arrive_at(empty, lane);
        };
        float s[BN / 2], o[D / 2];
        u32 p[BN / 4];
#pragma unroll
        for (int j = 0; j < D / 2; ++j) o[j] = 0.0f;
        float m0 = LOWEST, m1 = LOWEST, l0 = 0.0f, l1 = 0.0f;
        mbar_wait(Q_FULL, 0);
        for (int block = 0; block < blocks; ++block) {
            const int i = block % STAGES;
            const u32 phase = block / STAGES & 1;
            mbar_wait(K_FULL(i), phase);
            wgmma_fence();
            issue_qk(s, q, k + i * (KV_BYTES / 16));
            wgmma_finish();
            hold(s);
            leave(K_EMPTY(i));
            if (block * BN + BN > seq || (CAUSAL && block * BN + BN - 1 > group_row)) mask(s, block * BN, row, seq - 1);
            softmax(s, p, o, m0, m1, l0, l1);
            mbar_wait(V_FULL(i), phase);
            hold(o); hold(p);
            wgmma_fence();
            issue_pv(o, p, v + i * (KV_BYTES / 16));
            wgmma_finish();
            hold(o); hold(p);
            leave(V_EMPTY(i));
        }
#pragma unroll
        for (int lanes = 1; lanes < 4; lanes *= 2) {
            l0 += __shfl_xor_sync(0xffffffffu, l0, lanes);
            l1 += __shfl_xor_sync(0xffffffffu, l1, lanes);
        }
        write_o(tile, o, 1.0f / l0, 1.0f / l1);   // over this warpgroup's own part of Q, which nobody reads any more
        asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
        asm volatile("bar.sync %0, 128;" :: "r"(group) : "memory");
        if (threadIdx.x % 128 == 0) {
            tma_store(&map_o, tile, 0, h, group_row, b);
            tma_store(&map_o, tile + Q_HALF_BYTES, 64, h, group_row, b);
            asm volatile("cp.async.bulk.commit_group;\ncp.async.bulk.wait_group 0;" ::: "memory");
        }
    }
    cluster_sync();   // another CTA may still be about to arrive at barriers here
}

extern "C" __global__ void copy_out(const uint4* staged, uint4* o, long long count) {
    asm volatile("griddepcontrol.wait;" ::: "memory");
    const long long step = (long long)gridDim.x * blockDim.x;
    for (long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x; i < count; i += step) o[i] = staged[i];
}
