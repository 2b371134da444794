// Attention backward, bf16, head_dim 128, (batch, seq, heads, 128), for Hopper (sm_90a): dQ, dK, dV from Q, K, V, O, the
// log-sum-exp and dO. A CTA owns BN = 128 keys of a head and visits blocks of BM = 64 queries. Two consumer warpgroups have 64
// keys each: S' = K Q' and dP' = V dO' with keys as rows, so that P' and dS' are the register operands of dV += P' dO and
// dK += dS' Q. dS' goes through shared memory for dQ = dS K, half of head_dim for each warpgroup, one block later than the rest, so
// that the warpgroups need not keep step. dQ is added up in global memory in fp32 by bulk reductions; the blocks of keys do so in
// turn, so that the bits are the same in every run, and the first one stores, so that nothing has to be zero before.
using u32 = unsigned int;
using u64 = unsigned long long;

#ifndef CAUSAL
#define CAUSAL 0
#endif
#define BM 64    // queries of a block
#define BN 128   // keys of a CTA
#define D 128
#define STAGES 2
#define NREG_C 240
#define NREG_P 24   // 168 registers for each of 384 threads at the start are all there are

#define QT_BYTES (BM * D * 2)
#define KT_BYTES (BN * D * 2)
#define OFF_K 0
#define OFF_V (OFF_K + KT_BYTES)
#define OFF_Q (OFF_V + KT_BYTES)
#define OFF_DO (OFF_Q + STAGES * QT_BYTES)
#define OFF_DS (OFF_DO + STAGES * QT_BYTES)
#define DS_BYTES (BN * BM * 2)
#define OFF_DQ (OFF_DS + 2 * DS_BYTES)
#define DQ_BYTES (BM * D * 4)
#define DQ_SLOTS 2
#define OFF_LSE (OFF_DQ + DQ_SLOTS * DQ_BYTES)
#define OFF_SUM (OFF_LSE + STAGES * BM * 4)
#define OFF_BAR (OFF_SUM + STAGES * BM * 4)
#define B_KV 0
#define B_QF 1
#define B_QE (B_QF + STAGES)
#define B_OF (B_QE + STAGES)
#define B_OE (B_OF + STAGES)
#define B_SF (B_OE + STAGES)   // dS written, dS read
#define B_SE (B_SF + 2)
#define B_GF (B_SE + 2)        // dQ written, dQ read
#define B_GE (B_GF + 2)
#define B_END (B_GE + 2)
#define SMEM_BYTES (OFF_BAR + B_END * 8)

// Heads whose blocks of keys are in flight together. Full: somewhat more than fill the device, so that those that add in turn follow
// one another as they were started. Causal: what the L2 cache holds of Q, dO and the sums of dQ.
#if CAUSAL
#ifndef CACHED
#define CACHED 32   // megabytes; 48 cost 3% at a length of 4,096, 64 10%
#endif
#define HEADS_AT_ONCE(seq, nb) max(1, (CACHED << 10) / (seq))
#else
#ifndef FILL
#define FILL 200    // CTAs
#endif
#define HEADS_AT_ONCE(seq, nb) max(1, FILL / (nb))
#endif

#ifndef RAGGED
#define RAGGED 1     // 0: the length is a multiple of BN, and no key is past the end
#endif

#define SCALE 0.08838834764831845f
#define LOG2E 1.4426950408889634f
#define SCALE_LOG2 (SCALE * LOG2E)

__device__ __forceinline__ void wgmma_ss(float (&d)[32], u64 a, u64 b, int accumulate) {
    asm volatile("{\n.reg .pred p;\nsetp.ne.b32 p, %34, 0;\n"
        "wgmma.mma_async.sync.aligned.m64n64k16.f32.bf16.bf16 {%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, %16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31}, %32, %33, p, 1, 1, 0, 0;\n}\n"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3]), "+f"(d[4]), "+f"(d[5]), "+f"(d[6]), "+f"(d[7]), "+f"(d[8]), "+f"(d[9]), "+f"(d[10]), "+f"(d[11]), "+f"(d[12]), "+f"(d[13]), "+f"(d[14]), "+f"(d[15]), "+f"(d[16]), "+f"(d[17]), "+f"(d[18]), "+f"(d[19]), "+f"(d[20]), "+f"(d[21]), "+f"(d[22]), "+f"(d[23]), "+f"(d[24]), "+f"(d[25]), "+f"(d[26]), "+f"(d[27]), "+f"(d[28]), "+f"(d[29]), "+f"(d[30]), "+f"(d[31])
        : "l"(a), "l"(b), "r"(accumulate));
}
__device__ __forceinline__ void wgmma_ss_tt(float (&d)[32], u64 a, u64 b, int accumulate) {
    asm volatile("{\n.reg .pred p;\nsetp.ne.b32 p, %34, 0;\n"
        "wgmma.mma_async.sync.aligned.m64n64k16.f32.bf16.bf16 {%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, %16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31}, %32, %33, p, 1, 1, 1, 1;\n}\n"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3]), "+f"(d[4]), "+f"(d[5]), "+f"(d[6]), "+f"(d[7]), "+f"(d[8]), "+f"(d[9]), "+f"(d[10]), "+f"(d[11]), "+f"(d[12]), "+f"(d[13]), "+f"(d[14]), "+f"(d[15]), "+f"(d[16]), "+f"(d[17]), "+f"(d[18]), "+f"(d[19]), "+f"(d[20]), "+f"(d[21]), "+f"(d[22]), "+f"(d[23]), "+f"(d[24]), "+f"(d[25]), "+f"(d[26]), "+f"(d[27]), "+f"(d[28]), "+f"(d[29]), "+f"(d[30]), "+f"(d[31])
        : "l"(a), "l"(b), "r"(accumulate));
}
__device__ __forceinline__ void wgmma_rs_t(float (&d)[64], const u32* a, u64 b, int accumulate) {
    asm volatile("{\n.reg .pred p;\nsetp.ne.b32 p, %69, 0;\n"
        "wgmma.mma_async.sync.aligned.m64n128k16.f32.bf16.bf16 {%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, %16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31, %32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, %48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63}, {%64, %65, %66, %67}, %68, p, 1, 1, 1;\n}\n"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3]), "+f"(d[4]), "+f"(d[5]), "+f"(d[6]), "+f"(d[7]), "+f"(d[8]), "+f"(d[9]), "+f"(d[10]), "+f"(d[11]), "+f"(d[12]), "+f"(d[13]), "+f"(d[14]), "+f"(d[15]), "+f"(d[16]), "+f"(d[17]), "+f"(d[18]), "+f"(d[19]), "+f"(d[20]), "+f"(d[21]), "+f"(d[22]), "+f"(d[23]), "+f"(d[24]), "+f"(d[25]), "+f"(d[26]), "+f"(d[27]), "+f"(d[28]), "+f"(d[29]), "+f"(d[30]), "+f"(d[31]), "+f"(d[32]), "+f"(d[33]), "+f"(d[34]), "+f"(d[35]), "+f"(d[36]), "+f"(d[37]), "+f"(d[38]), "+f"(d[39]), "+f"(d[40]), "+f"(d[41]), "+f"(d[42]), "+f"(d[43]), "+f"(d[44]), "+f"(d[45]), "+f"(d[46]), "+f"(d[47]), "+f"(d[48]), "+f"(d[49]), "+f"(d[50]), "+f"(d[51]), "+f"(d[52]), "+f"(d[53]), "+f"(d[54]), "+f"(d[55]), "+f"(d[56]), "+f"(d[57]), "+f"(d[58]), "+f"(d[59]), "+f"(d[60]), "+f"(d[61]), "+f"(d[62]), "+f"(d[63])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b), "r"(accumulate));
}


__device__ __forceinline__ u32 smem_u32(const void* p) { return (u32)__cvta_generic_to_shared(p); }
__device__ __forceinline__ void mbar_init(u32 bar, u32 count) {
    asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" :: "r"(bar), "r"(count) : "memory");
}
__device__ __forceinline__ void mbar_expect(u32 bar, u32 bytes) {
    asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" :: "r"(bar), "r"(bytes) : "memory");
}
__device__ __forceinline__ void mbar_arrive(u32 bar) {
    asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" :: "r"(bar) : "memory");
}
__device__ __forceinline__ void mbar_wait(u32 bar, u32 parity) {
    asm volatile("{\n.reg .pred p;\nTRY:\nmbarrier.try_wait.parity.shared::cta.b64 p, [%0], %1, %2;\n"
                 "@p bra DONE;\nbra TRY;\nDONE:\n}\n" :: "r"(bar), "r"(parity), "r"(0x989680) : "memory");
}
__device__ __forceinline__ void tma_load(u32 dst, const CUtensorMap* map, u32 bar, int d, int h, int s, int b) {
    asm volatile("cp.async.bulk.tensor.4d.shared::cluster.global.mbarrier::complete_tx::bytes"
                 " [%0], [%1, {%3, %4, %5, %6}], [%2];"
                 :: "r"(dst), "l"(map), "r"(bar), "r"(d), "r"(h), "r"(s), "r"(b) : "memory");
}
__device__ __forceinline__ void bulk_load(u32 dst, const void* src, u32 bytes, u32 bar) {
    asm volatile("cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1], %2, [%3];"
                 :: "r"(dst), "l"(src), "r"(bytes), "r"(bar) : "memory");
}
__device__ __forceinline__ void tma_store(const CUtensorMap* map, u32 src, int d, int h, int s, int b) {
    asm volatile("cp.async.bulk.tensor.4d.global.shared::cta.bulk_group [%0, {%2, %3, %4, %5}], [%1];"
                 :: "l"(map), "r"(src), "r"(d), "r"(h), "r"(s), "r"(b) : "memory");
}
__device__ __forceinline__ void bulk_add(float* dst, u32 src, u32 bytes) {
    asm volatile("cp.reduce.async.bulk.global.shared::cta.bulk_group.add.f32 [%0], [%1], %2;"
                 :: "l"(dst), "r"(src), "r"(bytes) : "memory");
}
__device__ __forceinline__ void bulk_store(float* dst, u32 src, u32 bytes) {
    asm volatile("cp.async.bulk.global.shared::cta.bulk_group [%0], [%1], %2;" :: "l"(dst), "r"(src), "r"(bytes) : "memory");
}
__device__ __forceinline__ void bulk_commit() { asm volatile("cp.async.bulk.commit_group;" ::: "memory"); }
__device__ __forceinline__ void bulk_wait_read() { asm volatile("cp.async.bulk.wait_group.read 0;" ::: "memory"); }
__device__ __forceinline__ void bulk_wait() { asm volatile("cp.async.bulk.wait_group 0;" ::: "memory"); }
__device__ __forceinline__ void fence_async() { asm volatile("fence.proxy.async.shared::cta;" ::: "memory"); }
__device__ __forceinline__ void wgmma_fence() { asm volatile("wgmma.fence.sync.aligned;" ::: "memory"); }
__device__ __forceinline__ void wgmma_commit() { asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory"); }
template <int N> __device__ __forceinline__ void wgmma_wait() { asm volatile("wgmma.wait_group.sync.aligned %0;" :: "n"(N) : "memory"); }
template <int N> __device__ __forceinline__ void hold(float (&r)[N]) {
#pragma unroll
    for (int i = 0; i < N; ++i) asm volatile("" : "+f"(r[i]) :: "memory");
}
template <int N> __device__ __forceinline__ void hold(u32 (&r)[N]) {
#pragma unroll
    for (int i = 0; i < N; ++i) asm volatile("" : "+r"(r[i]) :: "memory");
}
__device__ __forceinline__ void bar_sync(int id, int n) { asm volatile("bar.sync %0, %1;" :: "r"(id), "r"(n) : "memory"); }
__device__ __forceinline__ float ex2(float x) { float y; asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x)); return y; }
__device__ __forceinline__ u32 pack(float lo, float hi) { u32 r; asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(r) : "f"(hi), "f"(lo)); return r; }
__device__ __forceinline__ float4 lds4(u32 a) {
    float4 x;
    asm volatile("ld.shared.v4.f32 {%0, %1, %2, %3}, [%4];" : "=f"(x.x), "=f"(x.y), "=f"(x.z), "=f"(x.w) : "r"(a) : "memory");
    return x;
}
__device__ __forceinline__ float low(u32 x) { return __int_as_float(x << 16); }
__device__ __forceinline__ float high(u32 x) { return __int_as_float(x & 0xffff0000u); }

// 128-byte swizzle; lbo: bytes between 64-wide blocks of an MN-major operand
__device__ __forceinline__ u64 smem_desc(u32 addr, u32 lbo) {
    return (u64)((addr & 0x3FFFF) >> 4) | ((u64)(lbo >> 4) << 16) | (64ull << 32) | (1ull << 62);
}

// Sixteen lanes share a row: D = sum of dO * O, and the log-sum-exp in powers of two; rows past the end never weigh anything.
extern "C" __global__ void __launch_bounds__(256)
attention_backward_rows(const uint4* o, const uint4* grad, const float* lse, float* lse2, float* sums, int* turns, int batch, int seq,
                        int heads, int padded) {
    const int row = blockIdx.x * 16 + threadIdx.x / 16, part = threadIdx.x % 16, h = blockIdx.y, b = blockIdx.z;
    if (row >= padded) return;
    if (threadIdx.x == 0 && row % BM == 0) turns[(b * heads + h) * (padded / BM) + row / BM] = 0;   // nobody has added yet
    // within a block of 16 rows as the consumers' registers want them: lane t of a quad has columns 2t, 2t + 1, 2t + 8, 2t + 9
    const int r = row % 16, place = (r % 8 / 2) * 4 + (r / 8) * 2 + r % 2;
    const long long to = ((long long)b * heads + h) * padded + row - r + place;
    if (row >= seq) {
        if (part == 0) { lse2[to] = __int_as_float(0x7f800000); sums[to] = 0.0f; }
        return;
    }
    const long long from = (((long long)b * seq + row) * heads + h) * 16 + part;
    const uint4 x = o[from], y = grad[from];
    const u32 xs[4] = {x.x, x.y, x.z, x.w}, ys[4] = {y.x, y.y, y.z, y.w};
    float sum = 0.0f;
#pragma unroll
    for (int i = 0; i < 4; ++i) sum += low(xs[i]) * low(ys[i]) + high(xs[i]) * high(ys[i]);
#pragma unroll
    for (int i = 1; i < 16; i *= 2) sum += __shfl_xor_sync(0xffffffffu, sum, i);
    if (part == 0) {
        sums[to] = sum;
        lse2[to] = lse[((long long)b * heads + h) * seq + row] * LOG2E;
    }
}

// dQ from the fp32 sums, which lie as the consumers' registers do: a tile of 64 rows, halves of head_dim, eight times 128 threads
// with a float4 each. A thread takes what a quad has of two rows and eight columns.
extern "C" __global__ void __launch_bounds__(512)
attention_backward_dq(const float4* sums, uint4* dq, int batch, int seq, int heads, int blocks) {
    const int half = threadIdx.x / 256, i = threadIdx.x % 8, quad = threadIdx.x % 256 / 8, h = blockIdx.y, b = blockIdx.z;
    const float4* tile = sums + (((long long)b * heads + h) * blocks + blockIdx.x) * 2048 + half * 1024 + i * 128 + quad * 4;
    const int row = blockIdx.x * BM + quad / 8 * 16 + quad % 8;
    uint4* at = dq + (((long long)b * seq + row) * heads + h) * 16 + half * 8 + i;
    const float4 x = tile[0], y = tile[1], z = tile[2], w = tile[3];
    if (row < seq)
        *at = make_uint4(pack(x.x * SCALE, x.y * SCALE), pack(y.x * SCALE, y.y * SCALE), pack(z.x * SCALE, z.y * SCALE), pack(w.x * SCALE, w.y * SCALE));
    if (row + 8 < seq)
        at[8LL * heads * 16] = make_uint4(pack(x.z * SCALE, x.w * SCALE), pack(y.z * SCALE, y.w * SCALE), pack(z.z * SCALE, z.w * SCALE), pack(w.z * SCALE, w.w * SCALE));
}

extern "C" __global__ void __launch_bounds__(384, 1)
attention_backward(const __grid_constant__ CUtensorMap map_q, const __grid_constant__ CUtensorMap map_k,
                   const __grid_constant__ CUtensorMap map_v, const __grid_constant__ CUtensorMap map_do,
                   const __grid_constant__ CUtensorMap map_dk, const __grid_constant__ CUtensorMap map_dv,
                   const float* lse2, const float* sums, float* dq_sums, int* turns,
                   int batch, int seq, int heads, int kv_heads, int padded) {
    extern __shared__ __align__(1024) unsigned char smem[];
    const u32 base = smem_u32(smem), bars = base + OFF_BAR;
    const int wg = __shfl_sync(0xffffffffu, threadIdx.x >> 7, 0), lane = threadIdx.x & 31, warp = (threadIdx.x >> 5) & 3;
#define BAR(k, st) (bars + ((k) + (st)) * 8)
    if (threadIdx.x == 0) {
        mbar_init(BAR(B_KV, 0), 1);
        for (int i = 0; i < STAGES; ++i) {
            mbar_init(BAR(B_QF, i), 1); mbar_init(BAR(B_OF, i), 1);
            mbar_init(BAR(B_QE, i), 8); mbar_init(BAR(B_OE, i), 8);
        }
        for (int i = 0; i < 2; ++i) { mbar_init(BAR(B_SF, i), 8); mbar_init(BAR(B_SE, i), 8); }
        for (int i = 0; i < 2; ++i) { mbar_init(BAR(B_GF, i), 8); mbar_init(BAR(B_GE, i), 1); }
        asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
    }
    // the block before the first: dS = 0
    for (int i = threadIdx.x; i < DS_BYTES / 16; i += 384)
        asm volatile("st.shared.v4.b32 [%0], {%1, %1, %1, %1};" :: "r"(base + OFF_DS + DS_BYTES + i * 16), "r"(0) : "memory");
    fence_async();
    __syncthreads();
    const int nb = (seq + BN - 1) / BN, total = kv_heads * batch, at_once = min(total, HEADS_AT_ONCE(seq, nb));
    int n, head;
    {   // block after block of keys of several heads at once; the last group of heads may be smaller
        const int part = blockIdx.x / (at_once * nb), rest = blockIdx.x - part * at_once * nb, size = min(at_once, total - part * at_once);
        n = rest / size; head = part * at_once + rest % size;
    }
#if CAUSAL
    n = nb - 1 - n;   // who adds to dQ first is on the device first
#endif
    const int hk = head % kv_heads, b = head / kv_heads, n0 = n * BN, group = heads / kv_heads, blocks = padded / BM;
    const int first = CAUSAL ? n0 / BM : 0, count = blocks - first, steps = count * group;

#define BLOCK(i) (first + (i) % count)   // of queries, in step i
    if (wg == 0) {
        asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" :: "n"(NREG_P));
        if (warp == 0) {
            if (lane == 0) {
                const u32 kv = BAR(B_KV, 0);
                mbar_expect(kv, 2 * KT_BYTES);
                for (int j = 0; j < 2; ++j) {
                    tma_load(base + OFF_K + j * BN * 128, &map_k, kv, j * 64, hk, n0, b);
                    tma_load(base + OFF_V + j * BN * 128, &map_v, kv, j * 64, hk, n0, b);
                }
            }
            __syncwarp();
            for (int i = 0; i <= steps; ++i) {   // one more than is needed, so that the consumers' loop has no branch
                const int st = i % STAGES, ph = (i / STAGES & 1) ^ 1;
                const int k = i < steps ? i : 0, h = hk * group + k / count, m = BLOCK(k);
                const long long row = ((long long)b * heads + h) * padded + m * BM;
                mbar_wait(BAR(B_QE, st), ph);
                if (lane == 0) {
                    const u32 f = BAR(B_QF, st), dst = base + OFF_Q + st * QT_BYTES;
                    mbar_expect(f, QT_BYTES + BM * 4);
                    tma_load(dst, &map_q, f, 0, h, m * BM, b);
                    tma_load(dst + BM * 128, &map_q, f, 64, h, m * BM, b);
                    bulk_load(base + OFF_LSE + st * BM * 4, lse2 + row, BM * 4, f);
                }
                __syncwarp();
                mbar_wait(BAR(B_OE, st), ph);
                if (lane == 0) {
                    const u32 f = BAR(B_OF, st), dst = base + OFF_DO + st * QT_BYTES;
                    mbar_expect(f, QT_BYTES + BM * 4);
                    tma_load(dst, &map_do, f, 0, h, m * BM, b);
                    tma_load(dst + BM * 128, &map_do, f, 64, h, m * BM, b);
                    bulk_load(base + OFF_SUM + st * BM * 4, sums + row, BM * 4, f);
                }
                __syncwarp();
            }
        }
        else if (warp <= 2) {   // dQ of every second step
            for (int i = warp - 1; i < steps; i += 2) {
                const int slot = i & 1, m = BLOCK(i), h = hk * group + i / count;
                mbar_wait(BAR(B_GF, slot), i / 2 & 1);
                if (lane == 0) {
                    const long long tile = ((long long)b * heads + h) * blocks + m;
                    float* to = dq_sums + tile * (BM * D);
                    const u32 from = base + OFF_DQ + slot * DQ_BYTES;
                    const int mine = CAUSAL ? min(nb - 1, m * BM / BN) - n : n;   // blocks of keys that add before this one
                    int seen;
                    do asm volatile("ld.acquire.gpu.global.s32 %0, [%1];" : "=r"(seen) : "l"(turns + tile) : "memory"); while (seen < mine);
                    asm volatile("fence.proxy.async;" ::: "memory");
                    if (mine == 0) bulk_store(to, from, DQ_BYTES); else bulk_add(to, from, DQ_BYTES);
                    bulk_commit();
                    bulk_wait_read();
                    mbar_arrive(BAR(B_GE, slot));
                    bulk_wait();
                    asm volatile("fence.proxy.async;" ::: "memory");
                    asm volatile("red.release.gpu.global.add.s32 [%0], 1;" :: "l"(turns + tile) : "memory");
                }
                __syncwarp();
            }
            if (lane == 0) bulk_wait();
        }
    } else {
        asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" :: "n"(NREG_C));
        const int cw = wg - 1, tid = threadIdx.x & 127;
        float dk[64], dv[64], s[32], dp[32];
        u32 p[16], ds[16];
        const u64 k_rows = smem_desc(base + OFF_K + cw * 64 * 128, 16), v_rows = smem_desc(base + OFF_V + cw * 64 * 128, 16);
        const u64 q_rows = smem_desc(base + OFF_Q, 16), do_rows = smem_desc(base + OFF_DO, 16);
        const u64 q_cols = smem_desc(base + OFF_Q, BM * 128), do_cols = smem_desc(base + OFF_DO, BM * 128);
        const u64 k_half = smem_desc(base + OFF_K + cw * BN * 128, 16), ds_cols = smem_desc(base + OFF_DS, 16);
        const u32 ds_row = base + OFF_DS + (cw * 64 + warp * 16 + (lane & 15)) * 128;
        const u32 dq_at = base + OFF_DQ + cw * (DQ_BYTES / 2) + tid * 16;
        const u32 columns = (lane & 3) * 16;
#define ISSUE_S(st) do { _Pragma("unroll") for (int j = 0; j < 8; ++j) \
            wgmma_ss(s, k_rows + (j / 4) * (BN * 8) + (j % 4) * 2, q_rows + (st) * (QT_BYTES / 16) + (j / 4) * (BM * 8) + (j % 4) * 2, j > 0); } while (0)
#define ISSUE_DP(st) do { _Pragma("unroll") for (int j = 0; j < 8; ++j) \
            wgmma_ss(dp, v_rows + (j / 4) * (BN * 8) + (j % 4) * 2, do_rows + (st) * (QT_BYTES / 16) + (j / 4) * (BM * 8) + (j % 4) * 2, j > 0); } while (0)
#define RELEASE(kind, st) do { __syncwarp(); if (lane == 0) mbar_arrive(BAR(kind, st)); } while (0)

#pragma unroll
        for (int j = 0; j < 64; ++j) dk[j] = dv[j] = 0.0f;
        mbar_wait(BAR(B_KV, 0), 0);
        mbar_wait(BAR(B_QF, 0), 0);
        wgmma_fence();
        ISSUE_S(0);
        wgmma_commit();
#define ISSUE_DQ(slot) do { _Pragma("unroll") for (int j = 0; j < 8; ++j) \
            wgmma_ss_tt(dq, ds_cols + (slot) * (DS_BYTES / 16) + j * 128, k_half + j * 128, j > 0); } while (0)
        auto add = [&](float (&dq)[32], int k) {   // dQ of step k
            const int slot = k & 1;
            mbar_wait(BAR(B_GE, slot), (k / 2 & 1) ^ 1);
#pragma unroll
            for (int j = 0; j < 8; ++j)
                asm volatile("st.shared.v4.f32 [%0], {%1, %2, %3, %4};" :: "r"(dq_at + slot * DQ_BYTES + j * 2048), "f"(dq[4 * j]), "f"(dq[4 * j + 1]),
                             "f"(dq[4 * j + 2]), "f"(dq[4 * j + 3]) : "memory");
            fence_async();
            __syncwarp();
            if (lane == 0) mbar_arrive(BAR(B_GF, slot));
        };
        float dq[32];
        auto visit = [&](int i, const bool masked) __attribute__((always_inline)) {   // inlined twice: with the masks and without
            const int st = i % STAGES, slot = i & 1;
            [[maybe_unused]] const int m = BLOCK(i);
            const u32 lse_at = base + OFF_LSE + st * BM * 4 + columns, sum_at = base + OFF_SUM + st * BM * 4 + columns;
            wgmma_wait<0>(); hold(s);
            mbar_wait(BAR(B_OF, st), i / STAGES & 1);
            wgmma_fence();
            ISSUE_DP(st);
            wgmma_commit();
            const int key = n0 + cw * 64 + warp * 16 + (lane >> 2);
#pragma unroll
            for (int j = 0; j < 4; ++j) {   // the product with dO begins beside the exponentials of later queries
                const float4 l = lds4(lse_at + j * 64);
                s[8 * j] = ex2(__fmaf_rn(s[8 * j], SCALE_LOG2, -l.x));
                s[8 * j + 1] = ex2(__fmaf_rn(s[8 * j + 1], SCALE_LOG2, -l.y));
                s[8 * j + 2] = ex2(__fmaf_rn(s[8 * j + 2], SCALE_LOG2, -l.x));
                s[8 * j + 3] = ex2(__fmaf_rn(s[8 * j + 3], SCALE_LOG2, -l.y));
                s[8 * j + 4] = ex2(__fmaf_rn(s[8 * j + 4], SCALE_LOG2, -l.z));
                s[8 * j + 5] = ex2(__fmaf_rn(s[8 * j + 5], SCALE_LOG2, -l.w));
                s[8 * j + 6] = ex2(__fmaf_rn(s[8 * j + 6], SCALE_LOG2, -l.z));
                s[8 * j + 7] = ex2(__fmaf_rn(s[8 * j + 7], SCALE_LOG2, -l.w));
                if (RAGGED && n0 + BN > seq) {   // rows of keys past the end are zero, and a logit of zero may be far above the log-sum-exp
#pragma unroll
                    for (int i = 8 * j; i < 8 * j + 8; i += 4) {
                        if (key >= seq) s[i] = s[i + 1] = 0.0f;
                        if (key + 8 >= seq) s[i + 2] = s[i + 3] = 0.0f;
                    }
                }
                if (masked) {
                    const int q = m * BM + (lane & 3) * 2;
#pragma unroll
                    for (int i = 2 * j; i < 2 * j + 2; ++i) {
                        if (key > q + 8 * i) s[4 * i] = 0.0f;
                        if (key > q + 8 * i + 1) s[4 * i + 1] = 0.0f;
                        if (key + 8 > q + 8 * i) s[4 * i + 2] = 0.0f;
                        if (key + 8 > q + 8 * i + 1) s[4 * i + 3] = 0.0f;
                    }
                }
#pragma unroll
                for (int i = 4 * j; i < 4 * j + 4; ++i) {
                    p[i] = pack(s[2 * i], s[2 * i + 1]);
                    asm volatile("" : "+r"(p[i]) :: "memory");
                }
                wgmma_fence();
                wgmma_rs_t(dv, p + 4 * j, do_cols + st * (QT_BYTES / 16) + j * 128, 1);
            }
            wgmma_commit();
            wgmma_wait<1>(); hold(dp);
#pragma unroll
            for (int j = 0; j < 4; ++j) {
                const float4 d = lds4(sum_at + j * 64);
                ds[4 * j] = pack(s[8 * j] * (dp[8 * j] - d.x), s[8 * j + 1] * (dp[8 * j + 1] - d.y));
                ds[4 * j + 1] = pack(s[8 * j + 2] * (dp[8 * j + 2] - d.x), s[8 * j + 3] * (dp[8 * j + 3] - d.y));
                ds[4 * j + 2] = pack(s[8 * j + 4] * (dp[8 * j + 4] - d.z), s[8 * j + 5] * (dp[8 * j + 5] - d.w));
                ds[4 * j + 3] = pack(s[8 * j + 6] * (dp[8 * j + 6] - d.z), s[8 * j + 7] * (dp[8 * j + 7] - d.w));
            }
            mbar_wait(BAR(B_SE, slot), (i / 2 & 1) ^ slot ^ 1);   // slot 1 is left once before its first use
#pragma unroll
            for (int j = 0; j < 4; ++j) {
                const u32 chunk = j * 2 + (lane >> 4);
                asm volatile("stmatrix.sync.aligned.m8n8.x4.shared.b16 [%0], {%1, %2, %3, %4};"
                             :: "r"(ds_row + slot * DS_BYTES + ((chunk ^ (lane & 7)) << 4)), "r"(ds[4 * j]), "r"(ds[4 * j + 1]),
                                "r"(ds[4 * j + 2]), "r"(ds[4 * j + 3]) : "memory");
            }
            fence_async();
            __syncwarp();
            if (lane == 0) mbar_arrive(BAR(B_SF, slot));
            hold(ds);
            wgmma_fence();
#pragma unroll
            for (int j = 0; j < 4; ++j) wgmma_rs_t(dk, ds + 4 * j, q_cols + st * (QT_BYTES / 16) + j * 128, 1);
            wgmma_commit();
            wgmma_wait<1>(); hold(dv); hold(p);
            RELEASE(B_OE, st);
#if S_FIRST
            mbar_wait(BAR(B_QF, (i + 1) % STAGES), (i + 1) / STAGES & 1);
            wgmma_fence();
            ISSUE_S((i + 1) % STAGES);
            wgmma_commit();
            if (i > 0) mbar_wait(BAR(B_SF, slot ^ 1), (i - 1) / 2 & 1);
            wgmma_fence();
            ISSUE_DQ(slot ^ 1);   // of the step before
            wgmma_commit();
            wgmma_wait<2>(); hold(dk); hold(ds);
            RELEASE(B_QE, st);
            wgmma_wait<0>(); hold(s); hold(dq);
#else
            if (i > 0) mbar_wait(BAR(B_SF, slot ^ 1), (i - 1) / 2 & 1);
            wgmma_fence();
            ISSUE_DQ(slot ^ 1);   // of the step before
            wgmma_commit();
            wgmma_wait<1>(); hold(dk); hold(ds);
            RELEASE(B_QE, st);
            mbar_wait(BAR(B_QF, (i + 1) % STAGES), (i + 1) / STAGES & 1);
            wgmma_fence();
            ISSUE_S((i + 1) % STAGES);
            wgmma_commit();
            wgmma_wait<1>(); hold(dq);
#endif
            RELEASE(B_SE, slot ^ 1);
            if (i > 0) add(dq, i - 1);
        };
        if (CAUSAL) {
            for (int i = 0; i < steps;) {
                const int diagonal = i + min(2, count), end = i + count;
                for (; i < diagonal; ++i) visit(i, true);
                for (; i < end; ++i) visit(i, false);
            }
        } else for (int i = 0; i < steps; ++i) visit(i, false);
        wgmma_wait<0>(); hold(s);
        mbar_wait(BAR(B_SF, (steps - 1) & 1), (steps - 1) / 2 & 1);
        wgmma_fence();
        ISSUE_DQ((steps - 1) & 1);
        wgmma_commit();
        wgmma_wait<0>(); hold(dq);
        add(dq, steps - 1);
        mbar_wait(BAR(B_OF, steps % STAGES), steps / STAGES & 1);   // no load may be under way at the end
        bar_sync(1, 256);   // both are done with K and V
        const u32 row = (warp * 16 + (lane & 15)) * 128;
#pragma unroll
        for (int j = 0; j < 8; ++j) {
            const u32 chunk = (j % 4) * 2 + (lane >> 4), at = row + cw * 2 * 8192 + (j / 4) * 8192 + ((chunk ^ (lane & 7)) << 4);
            asm volatile("stmatrix.sync.aligned.m8n8.x4.shared.b16 [%0], {%1, %2, %3, %4};"
                         :: "r"(base + OFF_K + at), "r"(pack(dk[8 * j] * SCALE, dk[8 * j + 1] * SCALE)),
                            "r"(pack(dk[8 * j + 2] * SCALE, dk[8 * j + 3] * SCALE)), "r"(pack(dk[8 * j + 4] * SCALE, dk[8 * j + 5] * SCALE)),
                            "r"(pack(dk[8 * j + 6] * SCALE, dk[8 * j + 7] * SCALE)) : "memory");
            asm volatile("stmatrix.sync.aligned.m8n8.x4.shared.b16 [%0], {%1, %2, %3, %4};"
                         :: "r"(base + OFF_V + at), "r"(pack(dv[8 * j], dv[8 * j + 1])), "r"(pack(dv[8 * j + 2], dv[8 * j + 3])),
                            "r"(pack(dv[8 * j + 4], dv[8 * j + 5])), "r"(pack(dv[8 * j + 6], dv[8 * j + 7])) : "memory");
        }
        fence_async();
        bar_sync(2 + cw, 128);
        if (tid == 0 && n0 + cw * 64 < seq) {
            for (int j = 0; j < 2; ++j) {
                tma_store(&map_dk, base + OFF_K + cw * 16384 + j * 8192, j * 64, hk, n0 + cw * 64, b);
                tma_store(&map_dv, base + OFF_V + cw * 16384 + j * 8192, j * 64, hk, n0 + cw * 64, b);
            }
            bulk_commit();
            bulk_wait();
        }
    }
}
