// Attention forward, bf16, head_dim 128, (batch, seq, heads, 128), for Hopper (sm_90a).
// The first block's maximum of a row serves for its later blocks, lowered by 2^86 (causal: the second one's, where it is larger: a
// row may see a single key of its first block). After each block the row's sum, which the tensor
// core makes, tells whether the row has outgrown it; if so, it gets a new reference there and then. One whose weights overflowed
// has that block done again by its own warp; what it had before is too small to be seen. No maximum is made in the loop.
// Tensor maps: (d, head, seq, batch), 128-byte swizzle, box (64, 1, 64, 1) for Q and O, (64, 1, BN, 1) for K and V.
// A third block of columns behind each V is all ones: the product with it sums the weights of a row as bf16 rounded them, so that
// numerator and denominator round alike.
// The counter (4 bytes) must be zero at launch where there are more units than blocks.
using u32 = unsigned int;
using u64 = unsigned long long;

#ifndef CAUSAL
#define CAUSAL 0
#endif
#ifndef NWG
#define NWG 2   // consumer warpgroups; 1 where there are few units
#endif
#define BN 128   // keys per block
#define STAGES 2   // depth of the K and V rings
#define QSLOTS 2   // Q tiles in shared memory
#define L2MB(seq) ((seq) > 4096 ? 64 : 32)   // megabytes of K and V that a group of heads may take; measured
#define NREG_C 240   // registers of a consumer thread
#define NREG_P 24   // registers of a producer thread

#define BM (64 * NWG)
#define D 128
#define Q_WG_BYTES (64 * D * 2)
#define Q_BYTES (NWG * Q_WG_BYTES)
#define KV_BYTES (BN * D * 2)
#define OFF_Q 0
#define OFF_K (QSLOTS * Q_BYTES)
#define OFF_V (OFF_K + STAGES * KV_BYTES)
#define V_BYTES (KV_BYTES + BN * 128)   // of a stage of V: its two blocks of columns, and one of ones
#define OFF_BAR (OFF_V + STAGES * V_BYTES)
#define RING 2
// barrier indices
#define B_KF 0
#define B_KE (B_KF + STAGES)
#define B_VF (B_KE + STAGES)
#define B_VE (B_VF + STAGES)
#define B_QF (B_VE + STAGES)
#define B_QE (B_QF + QSLOTS)
#define B_TF (B_QE + QSLOTS)
#define B_TE (B_TF + RING)
#define B_END (B_TE + RING)
#define OFF_RING (OFF_BAR + B_END * 8)

#define SCALE_LOG2 (0.08838834764831845f * 1.4426950408889634f)
#define LIFT 86.0f      // the first block's maximum becomes 2^-LIFT
#define OUTGROWN (__int_as_float((127 + 60) << 23))   // a row's sum beyond which it gets a new reference
#define LOST (__int_as_float((127 + 122) << 23))   // and beyond which its weights may have overflowed
#define NEG_INF (__int_as_float(0xff800000))

#define CAT_(a, b) a##b
#define CAT(a, b) CAT_(a, b)
#define wgmma_qk_rs CAT(wgmma_rs_n, BN)

// wgmma m64nNk16, bf16 operands, fp32 accumulators in registers

__device__ __forceinline__ void wgmma_rs_t_n136(float (&d)[68], unsigned a0, unsigned a1, unsigned a2, unsigned a3, u64 b, int accumulate) {
    asm volatile("{\n.reg .pred p;\nsetp.ne.b32 p, %73, 0;\n"
        "wgmma.mma_async.sync.aligned.m64n136k16.f32.bf16.bf16 {%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, %16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31, %32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, %48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63, %64, %65, %66, %67}, {%68, %69, %70, %71}, %72, p, 1, 1, 1;\n}\n"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3]), "+f"(d[4]), "+f"(d[5]), "+f"(d[6]), "+f"(d[7]), "+f"(d[8]), "+f"(d[9]), "+f"(d[10]), "+f"(d[11]), "+f"(d[12]), "+f"(d[13]), "+f"(d[14]), "+f"(d[15]), "+f"(d[16]), "+f"(d[17]), "+f"(d[18]), "+f"(d[19]), "+f"(d[20]), "+f"(d[21]), "+f"(d[22]), "+f"(d[23]), "+f"(d[24]), "+f"(d[25]), "+f"(d[26]), "+f"(d[27]), "+f"(d[28]), "+f"(d[29]), "+f"(d[30]), "+f"(d[31]), "+f"(d[32]), "+f"(d[33]), "+f"(d[34]), "+f"(d[35]), "+f"(d[36]), "+f"(d[37]), "+f"(d[38]), "+f"(d[39]), "+f"(d[40]), "+f"(d[41]), "+f"(d[42]), "+f"(d[43]), "+f"(d[44]), "+f"(d[45]), "+f"(d[46]), "+f"(d[47]), "+f"(d[48]), "+f"(d[49]), "+f"(d[50]), "+f"(d[51]), "+f"(d[52]), "+f"(d[53]), "+f"(d[54]), "+f"(d[55]), "+f"(d[56]), "+f"(d[57]), "+f"(d[58]), "+f"(d[59]), "+f"(d[60]), "+f"(d[61]), "+f"(d[62]), "+f"(d[63]), "+f"(d[64]), "+f"(d[65]), "+f"(d[66]), "+f"(d[67])
        : "r"(a0), "r"(a1), "r"(a2), "r"(a3), "l"(b), "r"(accumulate));
}

__device__ __forceinline__ void wgmma_rs_n128(float (&d)[64], const u32* a, u64 b, int accumulate) {
    asm volatile("{\n.reg .pred p;\nsetp.ne.b32 p, %69, 0;\n"
        "wgmma.mma_async.sync.aligned.m64n128k16.f32.bf16.bf16 {%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, %16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31, %32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, %48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63}, {%64, %65, %66, %67}, %68, p, 1, 1, 0;\n}\n"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3]), "+f"(d[4]), "+f"(d[5]), "+f"(d[6]), "+f"(d[7]), "+f"(d[8]), "+f"(d[9]), "+f"(d[10]), "+f"(d[11]), "+f"(d[12]), "+f"(d[13]), "+f"(d[14]), "+f"(d[15]), "+f"(d[16]), "+f"(d[17]), "+f"(d[18]), "+f"(d[19]), "+f"(d[20]), "+f"(d[21]), "+f"(d[22]), "+f"(d[23]), "+f"(d[24]), "+f"(d[25]), "+f"(d[26]), "+f"(d[27]), "+f"(d[28]), "+f"(d[29]), "+f"(d[30]), "+f"(d[31]), "+f"(d[32]), "+f"(d[33]), "+f"(d[34]), "+f"(d[35]), "+f"(d[36]), "+f"(d[37]), "+f"(d[38]), "+f"(d[39]), "+f"(d[40]), "+f"(d[41]), "+f"(d[42]), "+f"(d[43]), "+f"(d[44]), "+f"(d[45]), "+f"(d[46]), "+f"(d[47]), "+f"(d[48]), "+f"(d[49]), "+f"(d[50]), "+f"(d[51]), "+f"(d[52]), "+f"(d[53]), "+f"(d[54]), "+f"(d[55]), "+f"(d[56]), "+f"(d[57]), "+f"(d[58]), "+f"(d[59]), "+f"(d[60]), "+f"(d[61]), "+f"(d[62]), "+f"(d[63]) : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b), "r"(accumulate));
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
// The hint (ns) lets the hardware suspend the warp; without it try_wait returns after some 40 cycles and the loop spins.
__device__ __forceinline__ void mbar_wait(u32 bar, u32 parity) {
    asm volatile("{\n.reg .pred p;\nTRY:\nmbarrier.try_wait.parity.shared::cta.b64 p, [%0], %1, %2;\n"
                 "@p bra DONE;\nbra TRY;\nDONE:\n}\n" :: "r"(bar), "r"(parity), "r"(0x989680) : "memory");
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
__device__ __forceinline__ void store_commit() { asm volatile("cp.async.bulk.commit_group;" ::: "memory"); }
__device__ __forceinline__ void store_wait_read() { asm volatile("cp.async.bulk.wait_group.read 0;" ::: "memory"); }
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
__device__ __forceinline__ void bar_arrive(int id, int n) { asm volatile("bar.arrive %0, %1;" :: "r"(id), "r"(n) : "memory"); }
__device__ __forceinline__ u32 lds(u32 a) { u32 x; asm volatile("ld.shared.b32 %0, [%1];" : "=r"(x) : "r"(a) : "memory"); return x; }
__device__ __forceinline__ float ex2(float x) { float y; asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x)); return y; }
__device__ __forceinline__ u32 pack(float lo, float hi) { u32 r; asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(r) : "f"(hi), "f"(lo)); return r; }

// 128-byte swizzle; lbo: bytes between 64-wide column blocks of an MN-major operand
__device__ __forceinline__ u64 smem_desc(u32 addr, u32 lbo) {
    return (u64)((addr & 0x3FFFF) >> 4) | ((u64)(lbo >> 4) << 16) | (64ull << 32) | (1ull << 62);
}

struct Work { int r, b, h, hk, nb; };   // first row   // query block, batch, head, KV head, number of KV blocks

__device__ __forceinline__ int n_units(int batch, int seq, int heads) {   // a unit: a query block of a head
    return (seq + BM - 1) / BM * batch * heads;
}
__device__ __forceinline__ Work decode(int unit, int batch, int seq, int heads, int kv_heads) {
    [[maybe_unused]] const int mu = (seq + BM - 1) / BM;
    int m, bh;
#if !CAUSAL
    const int whole = seq / BM, split = whole * batch * heads;
    if (unit < split) { m = unit % whole; bh = unit / whole; } else { m = whole; bh = unit - split; }
#else       // longest first, head after head within a group whose keys and values fit the L2 cache
    const int total = batch * heads;
    int g = (int)(((long long)L2MB(seq) << 20) / ((long long)seq * D * 4));
    g = g < 1 ? 1 : (g > total ? total : g);
    const int grp = unit / (g * mu), rem = unit - grp * g * mu;
    const int gs = min(g, total - grp * g);
    m = mu - 1 - rem / gs;
    bh = grp * g + rem % gs;
#endif
    Work w;
    w.r = m * BM;
    w.b = bh / heads; w.h = bh % heads;
    w.hk = w.h / (heads / kv_heads);
    int kv = seq;
#if CAUSAL
    kv = min(seq, w.r + BM);
#endif
    w.nb = (kv + BN - 1) / BN;
    return w;
}

// The consumers' side of the sequence of units of this CTA.
struct Units {
    int i, total, first, step; u32 bars, ring;
    __device__ __forceinline__ int formula(int n) const {
        const int u = n * step + first;
        return u < total ? u : -1;
    }
    __device__ __forceinline__ int next(bool leader) {
        const int n = i++;
        if (n == 0) return formula(0);
        const int s = (n - 1) % RING;
        mbar_wait(bars + (B_TF + s) * 8, ((n - 1) / RING) & 1);
        int u;
        asm volatile("ld.shared.b32 %0, [%1];" : "=r"(u) : "r"(ring + s * 4) : "memory");
        __syncwarp();
        if (leader) mbar_arrive(bars + (B_TE + s) * 8);
        return u;
    }
};

// Row maxima of a fragment (rows g and g + 8), over the four lanes of a row.
template <int N> __device__ __forceinline__ void row_max_float(const float (&s)[N], float& a, float& b) {
    float v[2];
#pragma unroll
    for (int r = 0; r < 4; r += 2) {
        float x = fmaxf(s[r], s[r + 1]), y = fmaxf(s[r + 4], s[r + 5]);
#pragma unroll
        for (int j = 8; j < N; j += 8) {
            x = fmaxf(x, s[j + r]); y = fmaxf(y, s[j + r + 4]);
            x = fmaxf(x, s[j + r + 1]); y = fmaxf(y, s[j + r + 5]);
        }
        x = fmaxf(x, y);
        x = fmaxf(x, __shfl_xor_sync(0xffffffffu, x, 1));
        v[r / 2] = fmaxf(x, __shfl_xor_sync(0xffffffffu, x, 2));
    }
    a = v[0]; b = v[1];
}
template <int N> __device__ __forceinline__ void relate(float (&s)[N], float c0, float c1) {
#pragma unroll
    for (int j = 0; j < N; j += 4) {
        s[j] = __fmaf_rn(s[j], SCALE_LOG2, -c0); s[j + 1] = __fmaf_rn(s[j + 1], SCALE_LOG2, -c0);
        s[j + 2] = __fmaf_rn(s[j + 2], SCALE_LOG2, -c1); s[j + 3] = __fmaf_rn(s[j + 3], SCALE_LOG2, -c1);
    }
}
template <int N> __device__ __forceinline__ void weigh(float (&s)[N]) {
#pragma unroll
    for (int j = 0; j < N; ++j) s[j] = ex2(s[j]);
}
template <int N> __device__ __forceinline__ void scale_rows(float (&o)[N], float a0, float a1) {
#pragma unroll
    for (int j = 0; j < N; j += 4) { o[j] *= a0; o[j + 1] *= a0; o[j + 2] *= a1; o[j + 3] *= a1; }
}
template <int N> __device__ __forceinline__ void mask(float (&s)[N], int key0, int row0, int seq) {
    const int lane = threadIdx.x & 31, warp = (threadIdx.x >> 5) & 3;
    [[maybe_unused]] const int r = row0 + warp * 16 + (lane >> 2);
    const int c = key0 + (lane & 3) * 2;
#if CAUSAL
        const int lim0 = min(r, seq - 1), lim1 = min(r + 8, seq - 1);
#else
    const int lim0 = seq - 1, lim1 = seq - 1;
#endif
#pragma unroll
    for (int j = 0; j < N; j += 4) {
        const int k = c + j * 2;
        if (k > lim0) s[j] = NEG_INF;
        if (k + 1 > lim0) s[j + 1] = NEG_INF;
        if (k > lim1) s[j + 2] = NEG_INF;
        if (k + 1 > lim1) s[j + 3] = NEG_INF;
    }
}

// q, k, v: descriptors of the operand's first row; adding n moves the start address by 16 n bytes
__device__ __forceinline__ void issue_qk_rs(float (&s)[BN / 2], const u32 (&q)[32], u64 k) {
#pragma unroll
    for (int i = 0; i < 8; ++i) wgmma_qk_rs(s, q + 4 * i, k + (i / 4) * (BN * 8) + (i % 4) * 2, i > 0);
}
// the fragments of 64 rows of Q, from shared memory
__device__ __forceinline__ void read_q(u32 (&q)[32], u32 from) {
    const int lane = threadIdx.x & 31, warp = (threadIdx.x >> 5) & 3;
    const u32 row = from + (warp * 16 + (lane & 15)) * 128;
#pragma unroll
    for (int i = 0; i < 8; ++i) {
        const u32 chunk = (i % 4) * 2 + (lane >> 4);
        asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                     : "=r"(q[4 * i]), "=r"(q[4 * i + 1]), "=r"(q[4 * i + 2]), "=r"(q[4 * i + 3])
                     : "r"(row + (i / 4) * 8192 + ((chunk ^ (lane & 7)) << 4)) : "memory");
    }
}
__device__ __forceinline__ void mma(float* d, const u32* a, u32 b0, u32 b1) {
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
                 : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3]) : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}
// A block of keys once more for the rows of this warp that lost theirs, by this warp alone: keys from global memory, values from
// shared memory, sixteen at a time, each time with its maximum.
__device__ __forceinline__ void block_again(float (&o)[68], float& c0, float& c1, const u32 (&q)[32], const u32* keys, int row_words,
                                            u32 values, bool lost0, bool lost1) {
    const int lane = threadIdx.x & 31;
    float n0 = NEG_INF, n1 = NEG_INF;
#pragma unroll
    for (int j = 0; j < 68; j += 4) {
        if (lost0) o[j] = o[j + 1] = 0.0f;
        if (lost1) o[j + 2] = o[j + 3] = 0.0f;
    }
#pragma unroll 1
    for (int at = 0; at < BN; at += 16) {
        float d[8] = {0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f};
        const u32* key = keys + (long long)(at + (lane >> 2)) * row_words + (lane & 3);
        u32 k[32];
#pragma unroll
        for (int i = 0; i < 16; ++i) { k[i] = __ldg(key + 4 * i); k[16 + i] = __ldg(key + 8 * row_words + 4 * i); }
#pragma unroll
        for (int i = 0; i < 8; ++i) { mma(d, q + 4 * i, k[2 * i], k[2 * i + 1]); mma(d + 4, q + 4 * i, k[16 + 2 * i], k[17 + 2 * i]); }
        float m0, m1;
        row_max_float(d, m0, m1);
        m0 = fmaxf(m0 * SCALE_LOG2, n0); m1 = fmaxf(m1 * SCALE_LOG2, n1);
        scale_rows(o, lost0 ? ex2(n0 - m0) : 1.0f, lost1 ? ex2(n1 - m1) : 1.0f);
        n0 = m0; n1 = m1;
        relate(d, n0, n1);
        weigh(d);
        const u32 a[4] = {lost0 ? pack(d[0], d[1]) : 0u, lost1 ? pack(d[2], d[3]) : 0u, lost0 ? pack(d[4], d[5]) : 0u, lost1 ? pack(d[6], d[7]) : 0u};
        const u32 row = values + (at + (lane & 15)) * 128;
#pragma unroll
        for (int n = 0; n < 8; ++n) {
            const u32 chunk = (n % 4) * 2 + (lane >> 4);
            u32 v[4];
            asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                         : "=r"(v[0]), "=r"(v[1]), "=r"(v[2]), "=r"(v[3])
                         : "r"(row + (n / 4) * (BN * 128) + ((chunk ^ (lane & 7)) << 4)) : "memory");
            mma(o + 8 * n, a, v[0], v[1]);
            mma(o + 8 * n + 4, a, v[2], v[3]);
        }
        mma(o + 64, a, 0x3f803f80u, 0x3f803f80u);
    }
    if (lost0) c0 = n0;
    if (lost1) c1 = n1;
}
// Rows whose sums passed the limit get the reference that makes their sum about 1, by a power of two: what they have keeps its bits.
// Each row decides for itself, so that its bits do not depend on its neighbours. s: the next block's scores, related.
__device__ __forceinline__ void new_reference(float (&s)[BN / 2], float (&o)[68], float& c0, float& c1, const u32 (&q)[32], const u32* keys,
                                              int row_words, u32 values) {
    const float was0 = c0, was1 = c1, sum0 = o[64], sum1 = o[66];
    float none0 = 0.0f, none1 = 0.0f;   // not 0 where a product is not finite
#pragma unroll
    for (int j = 0; j < 68; j += 4) {
        none0 = __fmaf_rn(o[j], 0.0f, __fmaf_rn(o[j + 1], 0.0f, none0)); none1 = __fmaf_rn(o[j + 2], 0.0f, __fmaf_rn(o[j + 3], 0.0f, none1));
    }
    const int quad = threadIdx.x & 28;
    const bool lost0 = (__ballot_sync(0xffffffffu, !(sum0 <= LOST && none0 == 0.0f)) >> quad) & 15;
    const bool lost1 = (__ballot_sync(0xffffffffu, !(sum1 <= LOST && none1 == 0.0f)) >> quad) & 15;
    const int grown0 = sum0 > OUTGROWN && !lost0 ? (__float_as_int(sum0) >> 23) - 127 : 0;
    const int grown1 = sum1 > OUTGROWN && !lost1 ? (__float_as_int(sum1) >> 23) - 127 : 0;
    c0 += (float)grown0; c1 += (float)grown1;
    scale_rows(o, __int_as_float((127 - grown0) << 23), __int_as_float((127 - grown1) << 23));
    if (__any_sync(0xffffffffu, lost0 || lost1)) block_again(o, c0, c1, q, keys, row_words, values, lost0, lost1);
#pragma unroll
    for (int j = 0; j < BN / 2; j += 4) { s[j] -= c0 - was0; s[j + 1] -= c0 - was0; s[j + 2] -= c1 - was1; s[j + 3] -= c1 - was1; }
}
// Causal, once a unit: the second block's maxima.
__device__ __forceinline__ void second_maximum(const float (&s)[BN / 2], float (&o)[68], float& c0, float& c1) {
    float n0, n1;
    row_max_float(s, n0, n1);
    n0 = n0 * SCALE_LOG2 + LIFT; n1 = n1 * SCALE_LOG2 + LIFT;
    n0 = n0 > c0 + 8.0f ? n0 : c0; n1 = n1 > c1 + 8.0f ? n1 : c1;
    if (__any_sync(0xffffffffu, n0 > c0 || n1 > c1)) {
        scale_rows(o, ex2(c0 - n0), ex2(c1 - n1));
        c0 = n0; c1 = n1;
    }
}
__device__ __forceinline__ void issue_pv(float (&o)[68], const u32 (&p)[BN / 4], u64 v, int accumulate) {
#pragma unroll
    for (int i = 0; i < BN / 16; ++i)
        wgmma_rs_t_n136(o, p[4 * i], p[4 * i + 1], p[4 * i + 2], p[4 * i + 3], v + i * 128, i > 0 ? 1 : accumulate);
}
__device__ __forceinline__ void write_o(u32 dst, const float (&o)[68], float i0, float i1) {
    const int lane = threadIdx.x & 31, warp = (threadIdx.x >> 5) & 3;
    const u32 row = dst + (warp * 16 + (lane & 15)) * 128;
#pragma unroll
    for (int i = 0; i < 8; ++i) {
        const u32 chunk = (i % 4) * 2 + (lane >> 4);
        asm volatile("stmatrix.sync.aligned.m8n8.x4.shared.b16 [%0], {%1, %2, %3, %4};"
                     :: "r"(row + (i / 4) * 8192 + ((chunk ^ (lane & 7)) << 4)),
                        "r"(pack(o[8 * i] * i0, o[8 * i + 1] * i0)), "r"(pack(o[8 * i + 2] * i1, o[8 * i + 3] * i1)),
                        "r"(pack(o[8 * i + 4] * i0, o[8 * i + 5] * i0)), "r"(pack(o[8 * i + 6] * i1, o[8 * i + 7] * i1)) : "memory");
    }
}

#define KBAR(k, st) (bars + ((k) + (st)) * 8)

extern "C" __global__ void __launch_bounds__(384, 1)
attention_forward(const __grid_constant__ CUtensorMap map_q, const __grid_constant__ CUtensorMap map_k,
                  const __grid_constant__ CUtensorMap map_v, const __grid_constant__ CUtensorMap map_o,
                  const u32* k, int batch, int seq, int heads, int kv_heads, u32* counter) {
    extern __shared__ __align__(1024) unsigned char smem[];
    const u32 base = smem_u32(smem), bars = base + OFF_BAR;
    const int wg = __shfl_sync(0xffffffffu, threadIdx.x >> 7, 0), lane = threadIdx.x & 31, warp = (threadIdx.x >> 5) & 3;
    if (threadIdx.x == 0) {
        for (int i = 0; i < STAGES; ++i) {
            mbar_init(KBAR(B_KF, i), 1); mbar_init(KBAR(B_VF, i), 1);
            mbar_init(KBAR(B_KE, i), 4 * NWG); mbar_init(KBAR(B_VE, i), 4 * NWG);
        }
        for (int i = 0; i < QSLOTS; ++i) { mbar_init(KBAR(B_QF, i), 1); mbar_init(KBAR(B_QE, i), NWG); }
        for (int i = 0; i < RING; ++i) { mbar_init(KBAR(B_TF, i), 1); mbar_init(KBAR(B_TE, i), 4 * NWG); }
        asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
    }
    for (int i = threadIdx.x; i < STAGES * BN * 8; i += 128 * (NWG + 1)) {
        const u32 at = base + OFF_V + i / (BN * 8) * V_BYTES + KV_BYTES + i % (BN * 8) * 16;
        asm volatile("st.shared.v4.b32 [%0], {%1, %1, %1, %1};" :: "r"(at), "r"(0x3f803f80u) : "memory");
    }
    asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
    __syncthreads();
    Units units;
    units.i = 0; units.total = n_units(batch, seq, heads);
    units.first = blockIdx.x; units.step = gridDim.x;
    units.bars = bars; units.ring = base + OFF_RING;

    if (wg == 0) {
        asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" :: "n"(NREG_P));
        // One warp does all the loading. Several warps asleep on mbarriers of one SM wake one another all the time
        // (a wait then retries every 50 cycles), one alone sleeps well.
        if (warp == 0) {
            u32 kst = 0, kph = 1, vst = 0, vph = 1, sl = 0, qp = 1;
            int n = 0;
            auto load_kv = [&](const CUtensorMap* map, u32 full, u32 dst, const Work& w, int kb) {
                if (lane == 0) {
                    mbar_expect(full, KV_BYTES);
                    tma_load(dst, map, full, 0, w.hk, kb * BN, w.b);
                    tma_load(dst + BN * 128, map, full, 64, w.hk, kb * BN, w.b);
                }
                __syncwarp();
            };
            auto load_k = [&](const Work& w, int kb) {
                mbar_wait(KBAR(B_KE, kst), kph);
                load_kv(&map_k, KBAR(B_KF, kst), base + OFF_K + kst * KV_BYTES, w, kb);
                if (++kst == STAGES) { kst = 0; kph ^= 1; }
            };
            auto load_v = [&](const Work& w, int kb) {
                mbar_wait(KBAR(B_VE, vst), vph);
                load_kv(&map_v, KBAR(B_VF, vst), base + OFF_V + vst * V_BYTES, w, kb);
                if (++vst == STAGES) { vst = 0; vph ^= 1; }
            };
            auto publish = [&](int unit) {
                const int s = n % RING;
                mbar_wait(KBAR(B_TE, s), ((n / RING) & 1) ^ 1);
                if (lane == 0) {
                    asm volatile("st.shared.b32 [%0], %1;" :: "r"(base + OFF_RING + s * 4), "r"(unit) : "memory");
                    mbar_arrive(KBAR(B_TF, s));
                }
                __syncwarp();
                ++n;
            };
            const bool counted = units.total > units.step;
            int u = units.formula(0);
            while (u >= 0) {
                int nu = -1;
                const Work w = decode(u, batch, seq, heads, kv_heads);
                u32 claim = 0;
                for (int kb = w.nb - 1; kb >= 0; --kb) {
                    load_k(w, kb);
                    if (kb == w.nb - 1) {
                        mbar_wait(KBAR(B_QE, sl), qp);
                        if (lane == 0) {
                            const u32 f = KBAR(B_QF, sl), dst = base + OFF_Q + sl * Q_BYTES;
                            mbar_expect(f, Q_BYTES);
#pragma unroll
                            for (int i = 0; i < NWG; ++i) {
                                tma_load(dst + i * Q_WG_BYTES, &map_q, f, 0, w.h, w.r + i * 64, w.b);
                                tma_load(dst + i * Q_WG_BYTES + 8192, &map_q, f, 64, w.h, w.r + i * 64, w.b);
                            }
                        }
                        __syncwarp();
                        if (++sl == QSLOTS) { sl = 0; qp ^= 1; }
                        if (counted && lane == 0) claim = atomicAdd(counter, 1u);
                    } else {
                        load_v(w, kb + 1);
                    }
                    if (kb == max(w.nb - 2, 0)) {   // tell the consumers which unit is next
                        if (counted) {
                            nu = (int)__shfl_sync(0xffffffffu, claim, 0) + units.step;
                            if (nu >= units.total) nu = -1;
                        }
                        publish(nu);
                    }
                }
                load_v(w, 0);
                u = nu;
            }
        }
    } else {
        asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" :: "n"(NREG_C));
        const int cw = wg - 1;
        float s[BN / 2], o[68];
        u32 p[BN / 4];
        u32 qr[32];
        u32 st = 0, ph = 0, sl = 0, qph = 0;
        float c0 = 0, c1 = 0;

        const u64 k_desc = smem_desc(base + OFF_K, 16),
                  v_desc = smem_desc(base + OFF_V, BN * 128);
#define KDESC(st_) (k_desc + (st_) * (KV_BYTES / 16))
#define VDESC(st_) (v_desc + (st_) * (V_BYTES / 16))
#define RELEASE(kind, st_) do { __syncwarp(); if (lane == 0) mbar_arrive(KBAR(kind, st_)); } while (0)
#define ADVANCE() do { if (++st == STAGES) { st = 0; ph ^= 1; } } while (0)
        int u = units.next(lane == 0);
        Work w = decode(u, batch, seq, heads, kv_heads);
#define QADDR(slot) (base + OFF_Q + (slot) * Q_BYTES + cw * Q_WG_BYTES)
#define ROW0 (w.r + cw * 64)
#define NEEDS_MASK(kb) ((kb) * BN + BN > seq || (CAUSAL && (kb) * BN + BN - 1 > ROW0))
        // first block of a tile: mask, maximum, exponentials
#define FIRST_MAX(kb) do { \
            if (NEEDS_MASK(kb)) mask(s, (kb) * BN, ROW0, seq); \
            row_max_float(s, c0, c1); \
            c0 = c0 * SCALE_LOG2 + LIFT; c1 = c1 * SCALE_LOG2 + LIFT; } while (0)
#define NEW_REFERENCE(kb, st_) do { \
            if (__any_sync(0xffffffffu, !(o[64] <= OUTGROWN && o[66] <= OUTGROWN))) \
                new_reference(s, o, c0, c1, qr, k + (((long long)w.b * seq + (kb) * BN) * kv_heads + w.hk) * (D / 2), kv_heads * (D / 2), \
                              base + OFF_V + (st_) * V_BYTES); } while (0)
#define EPILOGUE() do { \
            const float l0 = top < 0 ? 1.0f : o[64], l1 = top < 0 ? 1.0f : o[66]; \
            write_o(QADDR(sl), o, 1.0f / l0, 1.0f / l1); \
            asm volatile("fence.proxy.async.shared::cta;" ::: "memory"); \
            bar_sync(8 + cw, 128); \
            if (threadIdx.x % 128 == 0) { \
                tma_store(&map_o, QADDR(sl), 0, w.h, ROW0, w.b); \
                tma_store(&map_o, QADDR(sl) + 8192, 64, w.h, ROW0, w.b); \
                store_commit(); } } while (0)
#define RELEASE_Q(slot) do { if (threadIdx.x % 128 == 0) { store_wait_read(); mbar_arrive(KBAR(B_QE, slot)); } } while (0)

        [[maybe_unused]] bool stored = false;
        // the slot of the previous tile: its output has left shared memory by now
#define RELEASE_PREVIOUS() do { if (QSLOTS == 2 && stored && kb == w.nb - 1) RELEASE_Q(sl ^ 1); } while (0)
        while (u >= 0) {
            mbar_wait(KBAR(B_QF, sl), qph);
            read_q(qr, QADDR(sl));
            // blocks this warpgroup needs: causal, those not wholly above its diagonal; none for rows past the end
            int top = w.nb - 1;
            if (CAUSAL) top = min(top, (ROW0 + 63) / BN);
            if (ROW0 >= seq) top = -1;
            int kb = w.nb - 1;
            for (; kb > top; --kb) {
                mbar_wait(KBAR(B_KF, st), ph);
                RELEASE_PREVIOUS();
                RELEASE(B_KE, st);
                mbar_wait(KBAR(B_VF, st), ph);
                RELEASE(B_VE, st);
                ADVANCE();
            }
            if (top >= 0) {
                mbar_wait(KBAR(B_KF, st), ph);
                wgmma_fence();
                issue_qk_rs(s, qr, KDESC(st));
                wgmma_commit();
                RELEASE_PREVIOUS();
                wgmma_wait<0>(); hold(s);
                RELEASE(B_KE, st);
                FIRST_MAX(kb);
                relate(s, c0, c1);
                weigh(s);
#pragma unroll
                for (int j = 0; j < BN / 4; ++j) p[j] = pack(s[2 * j], s[2 * j + 1]);
                for (; kb > 0; --kb) {
                    const u32 vst = st, vph = ph;
                    ADVANCE();
                    mbar_wait(KBAR(B_KF, st), ph);
                    wgmma_fence();
                    issue_qk_rs(s, qr, KDESC(st));
                    wgmma_commit();
                    mbar_wait(KBAR(B_VF, vst), vph);
                    wgmma_fence();
                    issue_pv(o, p, VDESC(vst), kb != top);
                    wgmma_commit();
                    wgmma_wait<1>(); hold(s);
                    RELEASE(B_KE, st);
                    if (CAUSAL && kb == top) { wgmma_wait<0>(); hold(o); second_maximum(s, o, c0, c1); }
                    relate(s, c0, c1);   // no block but the first is on the diagonal or ragged
                    wgmma_wait<0>(); hold(o); hold(p);
                    NEW_REFERENCE(kb, vst);
                    RELEASE(B_VE, vst);
                    weigh(s);
#pragma unroll
                    for (int j = 0; j < BN / 4; ++j) p[j] = pack(s[2 * j], s[2 * j + 1]);
                }
                mbar_wait(KBAR(B_VF, st), ph);
                wgmma_fence();
                issue_pv(o, p, VDESC(st), top != 0);
                wgmma_commit();
                wgmma_wait<0>(); hold(o); hold(p);
                NEW_REFERENCE(0, st);
                RELEASE(B_VE, st);
                ADVANCE();
            }
            EPILOGUE();
            u = units.next(lane == 0);
            if (u < 0) break;
            stored = true;
            if (++sl == QSLOTS) { sl = 0; qph ^= 1; }
            w = decode(u, batch, seq, heads, kv_heads);
        }
        if (threadIdx.x % 128 == 0) asm volatile("cp.async.bulk.wait_group 0;" ::: "memory");
    }
}


