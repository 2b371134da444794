// Attention on Q, K and V with dropout, head_dim 128: three consumer warpgroups, PV in four parts, a counter that hands out
// units; O is rescaled only where a row maximum has grown by more than 2^8. The kernel of the lineage mha-hopper, without
// its causal half, with a mask. SEQ is a multiple of 128.
// Tensor maps: (d, head, seq, batch), 128-byte swizzle, box (64, 1, 64, 1) for Q and O, (64, 1, BN, 1) for K and V.
// The counter (4 bytes) must be zero at launch.
#pragma once
#include "hopper.cuh"
#include "philox.cuh"

#define NWG 3   // consumer warpgroups
#define BN 128   // keys per block
#define STAGES 2   // depth of the K and V rings
#define QSLOTS 2   // Q tiles in shared memory
#define NREG_C 160   // registers of a consumer thread
#define NREG_P 32   // registers of a producer thread
#define PVSPLIT 4   // chunks in which exponentials and PV alternate

#define BM (64 * NWG)
#define D 128
#define Q_WG_BYTES (64 * D * 2)
#define Q_BYTES (NWG * Q_WG_BYTES)
#define KV_BYTES (BN * D * 2)
#define OFF_Q 0
#define OFF_K (QSLOTS * Q_BYTES)
#define OFF_V (OFF_K + STAGES * KV_BYTES)
#define OFF_BAR (OFF_V + STAGES * KV_BYTES)
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
#define SMEM_BYTES (OFF_RING + RING * 4)

#define SCALE_LOG2 (0.08838834764831845f * 1.4426950408889634f)
#define GROWTH (8.0f / SCALE_LOG2)   // by which a maximum may grow before O is rescaled
#define KEEP_SCALE (1.0f / 0.9f)

struct Work { int m, b, h, hk, nb; };   // query block, batch, head, KV head, number of KV blocks

__device__ __forceinline__ int n_units(int batch, int seq, int heads) {   // a unit: a query block of a head
    return (seq + BM - 1) / BM * batch * heads;
}
__device__ __forceinline__ Work decode(int unit, int batch, int seq, int heads, int kv_heads) {
    int m, bh;
    const int whole = seq / BM, split = whole * batch * heads;
    if (unit < split) { m = unit % whole; bh = unit / whole; } else { m = whole; bh = unit - split; }
    Work w;
    w.m = m;
    w.b = bh / heads; w.h = bh % heads;
    w.hk = w.h / (heads / kv_heads);
    w.nb = seq / BN;
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
__device__ __forceinline__ int imax3(int a, int b, int c) { return max(max(a, b), c); }
#define FI(x) __float_as_int(x)
// The same by integer maxima: as integers, floats order rightly as soon as one of them is not negative, and there is a
// three-input maximum. Returns whether the caller must fall back on row_max_float.
template <int N> __device__ __forceinline__ bool row_max_int(const float (&s)[N], float& a, float& b) {
    int v[2];
#pragma unroll
    for (int r = 0; r < 4; r += 2) {
        int x = max(FI(s[r]), FI(s[r + 1])), y = max(FI(s[r + 4]), FI(s[r + 5]));
#pragma unroll
        for (int j = 8; j < N; j += 8) {
            x = imax3(x, FI(s[j + r]), FI(s[j + r + 1]));
            y = imax3(y, FI(s[j + r + 4]), FI(s[j + r + 5]));
        }
        x = max(x, y);
        const int x1 = __shfl_xor_sync(0xffffffffu, x, 1);
        x = max(x, x1);
        const int x2 = __shfl_xor_sync(0xffffffffu, x, 2);
        v[r / 2] = max(x, x2);
    }
    a = __int_as_float(v[0]); b = __int_as_float(v[1]);
    return (v[0] | v[1]) < 0;
}
// s[FROM, TO) -> exp2(s * scale - m * scale), added up in fp32 to the row sums l0, l1, and packed into bf16 pairs; in one
// loop, in which a sum and a pair follow their exponentials: ptxas then keeps a better order
template <int FROM, int TO, int N> __device__ __forceinline__ void part(float (&s)[N], u32 (&p)[N / 2], float c0, float c1, float& l0, float& l1) {
    float x0 = 0, x1 = 0, y0 = 0, y1 = 0;
#pragma unroll
    for (int j = FROM; j < TO; j += 4) {
        s[j] = ex2(__fmaf_rn(s[j], SCALE_LOG2, -c0)); s[j + 1] = ex2(__fmaf_rn(s[j + 1], SCALE_LOG2, -c0));
        s[j + 2] = ex2(__fmaf_rn(s[j + 2], SCALE_LOG2, -c1)); s[j + 3] = ex2(__fmaf_rn(s[j + 3], SCALE_LOG2, -c1));
        x0 += s[j]; x1 += s[j + 1]; y0 += s[j + 2]; y1 += s[j + 3];
        p[j / 2] = pack(s[j], s[j + 1]); p[j / 2 + 1] = pack(s[j + 2], s[j + 3]);
    }
    l0 += x0 + x1; l1 += y0 + y1;
}
// q, k, v: descriptors of the operand's first row; adding n moves the start address by 16 n bytes
__device__ __forceinline__ void issue_qk(float (&s)[BN / 2], u64 q, u64 k) {
#pragma unroll
    for (int i = 0; i < 8; ++i) {
        wgmma_ss_n128(s, q + (i / 4) * 512 + (i % 4) * 2, k + (i / 4) * (BN * 8) + (i % 4) * 2, i > 0);
    }
}
template <int FROM = 0, int TO = BN / 16>
__device__ __forceinline__ void issue_pv(float (&o)[64], const u32 (&p)[BN / 4], u64 v, int accumulate) {
#pragma unroll
    for (int i = FROM; i < TO; ++i)
        wgmma_rs_t_n128(o, p[4 * i], p[4 * i + 1], p[4 * i + 2], p[4 * i + 3], v + i * 128, i > 0 ? 1 : accumulate);
}
__device__ __forceinline__ void write_o(u32 dst, const float (&o)[64], float i0, float i1) {
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

extern "C" __global__ void __launch_bounds__(128 * (NWG + 1), 1)
attention_forward(const __grid_constant__ CUtensorMap map_q, const __grid_constant__ CUtensorMap map_k,
                  const __grid_constant__ CUtensorMap map_v, const __grid_constant__ CUtensorMap map_o,
                  int batch, int seq, int heads, int kv_heads, u32* counter, const uint2* keep) {
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
                load_kv(&map_v, KBAR(B_VF, vst), base + OFF_V + vst * KV_BYTES, w, kb);
                if (++vst == STAGES) { vst = 0; vph ^= 1; }
            };
            int u = units.formula(0);
            while (u >= 0) {
                const Work w = decode(u, batch, seq, heads, kv_heads);
                [[maybe_unused]] int nu = -1;
                [[maybe_unused]] u32 claim = 0;
                for (int kb = w.nb - 1; kb >= 0; --kb) {
                    load_k(w, kb);
                    if (kb == w.nb - 1) {
                        mbar_wait(KBAR(B_QE, sl), qp);
                        if (lane == 0) {
                            const u32 f = KBAR(B_QF, sl), dst = base + OFF_Q + sl * Q_BYTES;
                            mbar_expect(f, Q_BYTES);
#pragma unroll
                            for (int i = 0; i < NWG; ++i) {
                                tma_load(dst + i * Q_WG_BYTES, &map_q, f, 0, w.h, w.m * BM + i * 64, w.b);
                                tma_load(dst + i * Q_WG_BYTES + 8192, &map_q, f, 64, w.h, w.m * BM + i * 64, w.b);
                            }
                        }
                        __syncwarp();
                        if (++sl == QSLOTS) { sl = 0; qp ^= 1; }
                        if (lane == 0) claim = atomicAdd(counter, 1u);
                    } else {
                        load_v(w, kb + 1);
                    }
                    if (kb == max(w.nb - 2, 0)) {   // tell the consumers which unit is next
                        nu = (int)__shfl_sync(0xffffffffu, claim, 0) + units.step;
                        if (nu >= units.total) nu = -1;
                        const int s = n % RING;
                        mbar_wait(KBAR(B_TE, s), ((n / RING) & 1) ^ 1);
                        if (lane == 0) {
                            asm volatile("st.shared.b32 [%0], %1;" :: "r"(base + OFF_RING + s * 4), "r"(nu) : "memory");
                            mbar_arrive(KBAR(B_TF, s));
                        }
                        __syncwarp();
                        ++n;
                    }
                }
                load_v(w, 0);
                u = nu;
            }
        }
    } else {
        asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" :: "n"(NREG_C));
        const int cw = wg - 1;
        float s[BN / 2], o[64];
        u32 p[BN / 4];
        u32 st = 0, ph = 0, sl = 0, qph = 0;
        float m0, m1, l0, l1;

        const u64 q_desc = smem_desc(base + OFF_Q + cw * Q_WG_BYTES, 16), k_desc = smem_desc(base + OFF_K, 16),
                  v_desc = smem_desc(base + OFF_V, BN * 128);
#define QDESC(slot) (q_desc + (slot) * (Q_BYTES / 16))
#define KDESC(st_) (k_desc + (st_) * (KV_BYTES / 16))
#define VDESC(st_) (v_desc + (st_) * (KV_BYTES / 16))
#define RELEASE(kind, st_) do { __syncwarp(); if (lane == 0) mbar_arrive(KBAR(kind, st_)); } while (0)
#define ADVANCE() do { if (++st == STAGES) { st = 0; ph ^= 1; } } while (0)
        int u = units.next(lane == 0);
        Work w = decode(u < 0 ? 0 : u, batch, seq, heads, kv_heads);
#define QADDR(slot) (base + OFF_Q + (slot) * Q_BYTES + cw * Q_WG_BYTES)
#define ROW0 (w.m * BM + cw * 64)
        // first block of a tile: maximum
#define FIRST_MAX() do { \
            row_max_float(s, m0, m1); \
            l0 = l1 = 0.0f; } while (0)
        // later block: new maximum, the factors a0 a1 that bring the sums and O to it; each row by its own maximum alone, so that
        // what another row sees changes no bit of it
#define FACTORS() do { n0 = n0 - m0 > GROWTH ? n0 : m0; n1 = n1 - m1 > GROWTH ? n1 : m1; \
            a0 = ex2((m0 - n0) * SCALE_LOG2); a1 = ex2((m1 - n1) * SCALE_LOG2); } while (0)
#define NEXT_MAX() \
            float a0 = 1.0f, a1 = 1.0f, n0, n1; \
            const bool again = row_max_int(s, n0, n1); \
            const bool grew = fmaxf(n0 - m0, n1 - m1) > GROWTH; \
            const bool rescale = __any_sync(0xffffffffu, grew || again); \
            if (rescale) { \
                if (__any_sync(0xffffffffu, again)) row_max_float(s, n0, n1); \
                FACTORS(); \
                m0 = n0; m1 = n1; l0 *= a0; l1 *= a1; }
#define RESCALE() do { if (rescale) { \
            _Pragma("unroll") for (int j = 0; j < 64; j += 4) { o[j] *= a0; o[j + 1] *= a0; o[j + 2] *= a1; o[j + 3] *= a1; } } } while (0)
#define EPILOGUE() do { \
            l0 += __shfl_xor_sync(0xffffffffu, l0, 1); l1 += __shfl_xor_sync(0xffffffffu, l1, 1); \
            l0 += __shfl_xor_sync(0xffffffffu, l0, 2); l1 += __shfl_xor_sync(0xffffffffu, l1, 2); \
            write_o(QADDR(sl), o, KEEP_SCALE / l0, KEEP_SCALE / l1); \
            asm volatile("fence.proxy.async.shared::cta;" ::: "memory"); \
            bar_sync(8 + cw, 128); \
            if (threadIdx.x % 128 == 0) { \
                tma_store(&map_o, QADDR(sl), 0, w.h, ROW0, w.b); \
                tma_store(&map_o, QADDR(sl) + 8192, 64, w.h, ROW0, w.b); \
                store_commit(); } } while (0)
#define RELEASE_Q(slot) do { if (threadIdx.x % 128 == 0) { store_wait_read(); mbar_arrive(KBAR(B_QE, slot)); } } while (0)

        [[maybe_unused]] uint2 bits[1];
#define DROP(from, to) drop<from, to>(p, bits[0])
        bool stored = false;
        // the slot of the previous tile: its output has left shared memory by now
#define RELEASE_PREVIOUS() do { if (stored && kb == w.nb - 1) RELEASE_Q(sl ^ 1); } while (0)
        while (u >= 0) {
            mbar_wait(KBAR(B_QF, sl), qph);
            // blocks this warpgroup needs: none for rows past the end
            int top = w.nb - 1;
            if (ROW0 >= seq) top = -1;
            const uint2* next_bits = keep + ((long long)((w.b * heads + w.h) * (seq / 64) + ROW0 / 64) * (seq / BN) + top) * 128 + threadIdx.x % 128;
            for (int kb = w.nb - 1; kb >= 0; --kb) {
                mbar_wait(KBAR(B_KF, st), ph);
                if (kb > top) {
                    RELEASE_PREVIOUS();
                    RELEASE(B_KE, st);
                    mbar_wait(KBAR(B_VF, st), ph);
                    RELEASE(B_VE, st);
                    ADVANCE();
                    continue;
                }
                bits[0] = *next_bits;
                next_bits -= 128;
                wgmma_fence();
                issue_qk(s, QDESC(sl), KDESC(st));
                wgmma_commit();
                RELEASE_PREVIOUS();
                wgmma_wait<0>(); hold(s);
                RELEASE(B_KE, st);
                if (kb == top) {
                    FIRST_MAX();
                } else {
                    NEXT_MAX();
                    RESCALE();
                }
                const float c0 = m0 * SCALE_LOG2, c1 = m1 * SCALE_LOG2;
                const u64 vd = VDESC(st);
                // a share of the exponentials, then the matrix product they feed, which runs during the next share
#define CHUNK(c) do { \
                part<BN / 2 / PVSPLIT * (c), BN / 2 / PVSPLIT * ((c) + 1)>(s, p, c0, c1, l0, l1); \
                DROP(BN / 8 / PVSPLIT * (c), BN / 8 / PVSPLIT * ((c) + 1)); \
                if ((c) == 0) mbar_wait(KBAR(B_VF, st), ph); \
                wgmma_fence(); \
                issue_pv<BN / 16 / PVSPLIT * (c), BN / 16 / PVSPLIT * ((c) + 1)>(o, p, vd, (c) > 0 ? 1 : kb != top); \
                wgmma_commit(); } while (0)
                CHUNK(0);
                CHUNK(1);
                CHUNK(2);
                CHUNK(3);
                wgmma_wait<0>(); hold(o); hold(p);
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
