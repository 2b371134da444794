// 3-D convolution 16 -> 24, cube of 3: Winograd F(4,3) along all three axes, channels last inside.
#include "task.h"
#include <immintrin.h>
#include <cstdlib>
#include <cstdint>
#include <pthread.h>
#include <sys/mman.h>
#ifndef THP
#define THP 1
#endif

#ifndef SBIG
#define SBIG 1
#endif
#define INL static inline __attribute__((always_inline))
typedef __m256 v8;
INL v8 ld(const float* p) { return _mm256_load_ps(p); }
INL v8 ldu(const float* p) { return _mm256_loadu_ps(p); }
INL void st(float* p, v8 a) { _mm256_store_ps(p, a); }
INL v8 ldr(const float* p) { v8 a = _mm256_load_ps(p); asm("" : "+x"(a)); return a; }
INL v8 ldur(const float* p) { v8 a = _mm256_loadu_ps(p); asm("" : "+x"(a)); return a; }
INL v8 bc(float a) { return _mm256_set1_ps(a); }

INL void tin(const v8* d, v8* t) {  // input, 6 -> 6
    v8 a = d[4] - 4.0f * d[2], b = d[3] - 4.0f * d[1];
    v8 c = d[4] - d[2], e = d[3] - d[1];
    t[0] = 4.0f * d[0] + (d[4] - 5.0f * d[2]);
    t[5] = 4.0f * d[1] + (d[5] - 5.0f * d[3]);
    t[1] = a + b;
    t[2] = a - b;
    t[3] = c + 2.0f * e;
    t[4] = c - 2.0f * e;
}
INL void tout(const v8* m, v8* y) {  // output, 6 -> 4
    v8 s = m[1] + m[2], d = m[1] - m[2], s2 = m[3] + m[4], d2 = m[3] - m[4];
    y[0] = m[0] + s + s2;
    y[1] = d + 2.0f * d2;
    y[2] = s + 4.0f * s2;
    y[3] = m[5] + d + 8.0f * d2;
}
// the same with the point -2 left out: 5 -> 5 (0 1 2 3 5), 5 -> 3; scales are those of the weights for 6
INL void tin3(const v8* d, v8* t) {
    v8 a = d[3] - d[1], b = d[3] - 2.0f * d[2];
    v8 e = 2.0f * d[1] - d[2];
    t[0] = 2.0f * (b - d[1]) + 4.0f * d[0];
    t[1] = 3.0f * (a - d[2] - d[1]);
    t[2] = (d[3] - 2.0f * d[2]) + e;
    t[3] = 4.0f * a;
    t[5] = d[4] + (e - 2.0f * d[3]);
}
INL void tout3(const v8* m, v8* y) {
    v8 s = m[1] + m[2], d = m[1] - m[2];
    y[0] = m[0] + s + m[3];
    y[1] = d + 2.0f * m[3];
    y[2] = m[5] + s + 4.0f * m[3];
}
template <bool H>
INL void tinx(const v8* d, v8* t) { if (H) tin3(d, t); else tin(d, t); }
template <bool H>
INL void toutx(const v8* m, v8* y) { if (H) tout3(m, y); else tout(m, y); }
template <bool H>
INL bool has(int f) { return !H || f != 4; }
INL void twu(v8 a, v8 b, v8 c, v8* u) {  // without the scales 1/4 -1/6 -1/6 1/24 1/24 1
    v8 s = a + c, p = a + 4.0f * c;
    u[0] = a;
    u[1] = s + b;
    u[2] = s - b;
    u[3] = p + 2.0f * b;
    u[4] = p - 2.0f * b;
    u[5] = c;
}
static const float wscale[6] = {1.0f / 4, -1.0f / 6, -1.0f / 6, 1.0f / 24, 1.0f / 24, 1.0f};
INL void transpose8(const v8* r, v8* o) {
    v8 t0 = _mm256_unpacklo_ps(r[0], r[1]), t1 = _mm256_unpackhi_ps(r[0], r[1]);
    v8 t2 = _mm256_unpacklo_ps(r[2], r[3]), t3 = _mm256_unpackhi_ps(r[2], r[3]);
    v8 t4 = _mm256_unpacklo_ps(r[4], r[5]), t5 = _mm256_unpackhi_ps(r[4], r[5]);
    v8 t6 = _mm256_unpacklo_ps(r[6], r[7]), t7 = _mm256_unpackhi_ps(r[6], r[7]);
    v8 s0 = _mm256_shuffle_ps(t0, t2, 0x44), s1 = _mm256_shuffle_ps(t0, t2, 0xEE);
    v8 s2 = _mm256_shuffle_ps(t1, t3, 0x44), s3 = _mm256_shuffle_ps(t1, t3, 0xEE);
    v8 s4 = _mm256_shuffle_ps(t4, t6, 0x44), s5 = _mm256_shuffle_ps(t4, t6, 0xEE);
    v8 s6 = _mm256_shuffle_ps(t5, t7, 0x44), s7 = _mm256_shuffle_ps(t5, t7, 0xEE);
    o[0] = _mm256_permute2f128_ps(s0, s4, 0x20);
    o[1] = _mm256_permute2f128_ps(s1, s5, 0x20);
    o[2] = _mm256_permute2f128_ps(s2, s6, 0x20);
    o[3] = _mm256_permute2f128_ps(s3, s7, 0x20);
    o[4] = _mm256_permute2f128_ps(s0, s4, 0x31);
    o[5] = _mm256_permute2f128_ps(s1, s5, 0x31);
    o[6] = _mm256_permute2f128_ps(s2, s6, 0x31);
    o[7] = _mm256_permute2f128_ps(s3, s7, 0x31);
}

template <int R, int NP>
INL void gemm(const float* v, const float* u, float* m, const float* pf) {  // m[R][24] = v[R][16] u[16][24]
    v8 acc[R][3];
#pragma GCC unroll 4
    for (int r = 0; r < R; ++r) acc[r][0] = acc[r][1] = acc[r][2] = _mm256_setzero_ps();
#pragma GCC unroll 1
    for (int kb = 0; kb < 4; ++kb, u += 4 * 144, v += 4, pf += NP * 4)
#pragma GCC unroll 4
    for (int k = 0; k < 4; ++k) {
        v8 b0 = ldr(u + k * 144), b1 = ldr(u + k * 144 + 8), b2 = ldr(u + k * 144 + 16);
        if (k < NP / 4) _mm_prefetch((const char*)(pf + k * 16), _MM_HINT_T0);
#pragma GCC unroll 4
        for (int r = 0; r < R; ++r) {
            if (R < 4) {
                v8 a = bc(v[r * 16 + k]);
                asm("vfmadd231ps %2, %1, %0" : "+x"(acc[r][0]) : "x"(a), "x"(b0));
                asm("vfmadd231ps %2, %1, %0" : "+x"(acc[r][1]) : "x"(a), "x"(b1));
                asm("vfmadd231ps %2, %1, %0" : "+x"(acc[r][2]) : "x"(a), "x"(b2));
            } else {
                v8 a;
                asm("vbroadcastss %7, %3\n\tvfmadd231ps %4, %3, %0\n\tvfmadd231ps %5, %3, %1\n\tvfmadd231ps %6, %3, %2"
                    : "+x"(acc[r][0]), "+x"(acc[r][1]), "+x"(acc[r][2]), "=&x"(a)
                    : "x"(b0), "x"(b1), "x"(b2), "m"(v[r * 16 + k]));
            }
        }
    }
#pragma GCC unroll 4
    for (int r = 0; r < R; ++r)
        for (int j = 0; j < 3; ++j) st(m + r * 24 + j * 8, acc[r][j]);
}

// R tiles of one row of frequencies: input along w, products, output along w; H: without the point -2
template <int R, int NP, bool H = false>
static __attribute__((noinline)) void row(const float* const* src, const float* u, float* const* dst, const float* pf) {
    alignas(64) float v[6][R][16], m[6][R][24];
#pragma GCC unroll 1
    for (int r = 0; r < R; ++r)
        for (int c = 0; c < 2; ++c) {
            v8 a[6], b[6];
            for (int k = 0; k < 6 - H; ++k) a[k] = ldr(src[r] + k * 16 + c * 8);
            tinx<H>(a, b);
            for (int k = 0; k < 6; ++k)
                if (has<H>(k)) st(&v[k][r][c * 8], b[k]);
        }
#pragma GCC unroll 1
    for (int f = 0; f < 6; ++f) {
        if (!has<H>(f)) continue;
        gemm<R, NP>(v[f][0], u + f * 24, m[f][0], pf + f * NP * 16);
    }
#pragma GCC unroll 1
    for (int r = 0; r < R; ++r)
        for (int c = 0; c < 3; ++c) {
            v8 a[6], y[4];
            for (int k = 0; k < 6; ++k)
                if (has<H>(k)) a[k] = ldr(&m[k][r][c * 8]);
            toutx<H>(a, y);
            for (int k = 0; k < 4 - H; ++k) st(dst[r] + k * 24 + c * 8, y[k]);
        }
}

// np pixels: depth transform and channels last, xd[fd][pixel][16] with P pixels a frequency
template <bool D>
INL void din(const float* x, float* __restrict xd, const int64_t E, const int64_t np, const int64_t P) {
    for (int c = 0; c < 2; ++c)
        for (int64_t p0 = 0; p0 < np; p0 += 8) {
            int64_t p = p0 + 8 <= np ? p0 : np - 8;
            v8 t[6][8];
            const float* xp = x + c * 8 * E * E * E + p;
#pragma GCC unroll 1
            for (int j = 0; j < 8; ++j) {
                v8 a[6], b[6];
                for (int k = 0; k < 6 - D; ++k) a[k] = ldur(xp + (j * E + k) * E * E);
                tinx<D>(a, b);
                for (int k = 0; k < 6; ++k)
                    if (has<D>(k)) t[k][j] = b[k];
            }
#pragma GCC unroll 1
            for (int k = 0; k < 6; ++k) {
                if (!has<D>(k)) continue;
                v8 o[8];
                transpose8(t[k], o);
                float* q = xd + (k * P + p) * 16 + c * 8;
                for (int j = 0; j < 8; ++j) st(q + j * 16, o[j]);
            }
        }
}
static __attribute__((noinline)) void din26(const float* x, float* xd, int64_t np) { din<false>(x, xd, 26, np, 208); }

static void direct(const float* x, const float* w, const float* bias, float* out, int64_t E) {
    const int64_t n = E - 2;
    for (int64_t o = 0; o < 24; ++o)
        for (int64_t d = 0; d < n; ++d)
            for (int64_t h = 0; h < n; ++h)
                for (int64_t q = 0; q < n; ++q) {
                    float sum = bias[o];
                    for (int64_t i = 0; i < 16; ++i)
                        for (int64_t a = 0; a < 3; ++a)
                            for (int64_t b = 0; b < 3; ++b)
                                for (int64_t c = 0; c < 3; ++c)
                                    sum += w[(((o * 16 + i) * 3 + a) * 3 + b) * 3 + c] *
                                           x[((i * E + d + a) * E + h + b) * E + q + c];
                    out[((o * n + d) * n + h) * n + q] = sum;
                }
}

// u[fd][fh][16][fw][24]; brings the first strip's input near meanwhile
template <class F>
static __attribute__((noinline)) void weights(const float* w, float* u, F&& prefetch) {
    for (int i = 0; i < 24 * 432; i += 16) _mm_prefetch((const char*)(w + i), _MM_HINT_T1);
    alignas(64) float wt[432 * 24];
    for (int ob = 0; ob < 3; ++ob)
        for (int k = 0; k < 432; k += 8) {
            v8 r[8], o[8];
            for (int j = 0; j < 8; ++j) r[j] = ldu(w + (ob * 8 + j) * 432 + k);
            transpose8(r, o);
            for (int j = 0; j < 8; ++j) st(wt + (k + j) * 24 + ob * 8, o[j]);
        }
    for (int i = 0; i < 16; ++i) {
        prefetch(2 * i);
        prefetch(2 * i + 1);
        alignas(32) float A[6][9][24];
        const float* p = wt + i * 27 * 24;
        for (int q = 0; q < 27; ++q) {
            v8 t[6];
            twu(ld(p + q * 8), ld(p + 216 + q * 8), ld(p + 432 + q * 8), t);
            for (int f = 0; f < 6; ++f) st(&A[f][0][0] + q * 8, t[f]);
        }
        for (int fd = 0; fd < 6; ++fd) {
            alignas(32) float B[6][3][24];
            for (int q = 0; q < 9; ++q) {
                v8 t[6];
                const float* g = &A[fd][0][0] + q * 8;
                twu(ld(g), ld(g + 72), ld(g + 144), t);
                for (int f = 0; f < 6; ++f) st(&B[f][0][0] + q * 8, t[f]);
            }
            for (int fh = 0; fh < 6; ++fh) {
                const char* nx = (const char*)(u + ((fd * 6 + fh) * 16 + i + 1) * 144);
                if (i < 15)
                    for (int l = 0; l < 9; ++l) __builtin_prefetch(nx + l * 64, 1);
                const float sc = wscale[fd] * wscale[fh];
                const v8 k0 = bc(sc * 0.25f), k1 = bc(sc * (-1.0f / 6)), k3 = bc(sc * (1.0f / 24)),
                         k34 = bc(sc * (1.0f / 6)), k32 = bc(sc * (1.0f / 12)), k5 = bc(sc);
                for (int ob = 0; ob < 3; ++ob) {
                    v8 t[6];
                    v8 wa = ldr(&B[fh][0][ob * 8]), wb = ldr(&B[fh][1][ob * 8]), wc = ldr(&B[fh][2][ob * 8]);
                    v8 sm = (wa + wc) * k1, sb = wb * k1, p3 = wa * k3 + wc * k34, q3 = wb * k32;
                    t[0] = wa * k0, t[1] = sm + sb, t[2] = sm - sb, t[3] = p3 + q3, t[4] = p3 - q3, t[5] = wc * k5;
                    float* o = u + ((fd * 6 + fh) * 16 + i) * 144 + ob * 8;
                    for (int f = 0; f < 6; ++f) st(o + f * 24, t[f]);
                }
            }
        }
    }
}

struct Bufs {
    float *u, *xd, *vh, *v, *mw, *mh;
};

INL int64_t start(int64_t t, int64_t n) { return t * 4 + 4 <= n ? t * 4 : n - 4; }

template <int EC, int SC, class F>
static __attribute__((noinline)) void strip(const float* x, const float* bias, float* out, const int64_t Er,
                                            int64_t d0, int64_t s0, int64_t Sr, const Bufs& B, F&& prefetch) {
    const int64_t E = EC ? EC : Er, S = EC ? SC : Sr;
    const int64_t n = E - 2, TW = (n + 3) / 4, T = S * TW;
    const int64_t h0 = start(s0, n);
    float *__restrict xd = B.xd, *__restrict vh = B.vh, *__restrict mw = B.mw, *__restrict mh = B.mh;
    constexpr int G = EC == 13 || (EC && SC == 1) ? 3 : 4;
    constexpr int NP = !EC ? 0 : EC == 26 && SC == 1 ? 12 : 8;
    const int64_t P = EC && n % 4 == 0 ? (4 * S + 2) * E : EC && S == TW ? E * E : (start(s0 + S - 1, n) + 6 - h0) * E;
    // depth transform and channels last: xd[fd][pixel][16]
    constexpr bool RING = EC == 26 && SC == 1;  // xd: a ring of 8 rows, the two rows that strips share are kept
    if constexpr (RING) {
        const float* xp = x + d0 * E * E;
        if (s0 == 0) din26(xp, xd + 156 * 16, 52);
        din26(xp + 52 + 104 * s0, xd + (s0 & 1) * 104 * 16, 104);
    } else {
        din<false>(x + (d0 * E + h0) * E, xd, E, P, P);
    }
    for (int fd = 0; fd < 6; ++fd) {
        for (int64_t s = 0; s < S; ++s) {
            const float* q = RING ? xd + (fd * 208 + (s0 & 1 ? 52 : 156)) * 16 : xd + (fd * P + (start(s0 + s, n) - h0) * E) * 16;
            const float* q2 = RING ? xd + (fd * 208 + (s0 & 1 ? 104 : 0)) * 16 : q + 2 * E * 16;
            float* r = vh + s * E * 16;
            for (int64_t w = 0; w < 2 * E; ++w) {
                v8 a[6], b[6];
                for (int k = 0; k < 6; ++k) a[k] = ldr(k < 2 ? q + w * 8 + k * E * 16 : q2 + w * 8 + (k - 2) * E * 16);
                tin(a, b);
                for (int k = 0; k < 6; ++k) st(r + w * 8 + k * S * E * 16, b[k]);
            }
        }
        for (int fh = 0; fh < 6; ++fh) {
            const float* u = B.u + (fd * 6 + fh) * 6 * 384;
            prefetch(fd * 6 + fh);
            const float* src[4];
            float* dst[4];
            int64_t t = 0;
            for (; t + G <= T; t += G) {
                for (int r = 0; r < G; ++r) dst[r] = mw + (fh * T + t + r) * 96, src[r] = vh + ((fh * S + (t + r) / TW) * E + start((t + r) % TW, n)) * 16;
                row<G, NP>(src, u, dst, u + 6 * 384 + t / G * 6 * NP * 16);
            }
            if (!EC || T % G)
                for (; t < T; ++t) {
                    src[0] = vh + ((fh * S + t / TW) * E + start(t % TW, n)) * 16;
                    dst[0] = mw + (fh * T + t) * 96;
                    row<1, 0>(src, u, dst, u);
                }
        }
        // inverse along h: mh[fd][h][t][4][24]
        for (int64_t t = 0; t < T * 12; ++t) {
            v8 a[6], y[4];
            for (int k = 0; k < 6; ++k) a[k] = ldr(mw + k * T * 96 + t * 8);
            tout(a, y);
            for (int k = 0; k < 4; ++k) st(mh + (fd * 4 + k) * T * 96 + t * 8, y[k]);
        }
    }
    for (int c = 0; c < 3; ++c) {
        const v8 b = ldu(bias + c * 8);
        for (int64_t s = 0; s < S; ++s)
            for (int hh = 0; hh < 4; ++hh) {
                float* o0 = out + (d0 * n + start(s0 + s, n) + hh) * n;
                for (int64_t tw = 0; tw < TW; ++tw) {
                    const int64_t t = s * TW + tw;
                    v8 y[4][4];  // [w][d]
                    for (int j = 0; j < 4; ++j) {
                        v8 a[6];
                        for (int k = 0; k < 6; ++k)
                            a[k] = ldr(mh + (k * 4 + hh) * T * 96 + t * 96 + j * 24 + c * 8);
                        a[1] += b;
                        tout(a, y[j]);
                    }
                    for (int d = 0; d < 4; ++d) {
                        v8 t0 = _mm256_unpacklo_ps(y[0][d], y[1][d]), t1 = _mm256_unpackhi_ps(y[0][d], y[1][d]);
                        v8 t2 = _mm256_unpacklo_ps(y[2][d], y[3][d]), t3 = _mm256_unpackhi_ps(y[2][d], y[3][d]);
                        v8 r[4] = {_mm256_shuffle_ps(t0, t2, 0x44), _mm256_shuffle_ps(t0, t2, 0xEE),
                                   _mm256_shuffle_ps(t1, t3, 0x44), _mm256_shuffle_ps(t1, t3, 0xEE)};
                        float* o = o0 + start(tw, n) + d * n * n + c * 8 * n * n * n;
                        for (int j = 0; j < 4; ++j) {
                            _mm_storeu_ps(o + j * n * n * n, _mm256_castps256_ps128(r[j]));
                            _mm_storeu_ps(o + (j + 4) * n * n * n, _mm256_extractf128_ps(r[j], 1));
                        }
                    }
                }
            }
}
}

// EDGE 13: 11 = 4 + 4 + 3 along each axis; D: the strip is the last one in depth
template <bool D, class F>
static __attribute__((noinline)) void strip13(const float* x, const float* bias, float* out, int64_t d0,
                                              const Bufs& B, F&& prefetch) {
    constexpr int E = 13, n = 11, P = E * E, T = 9, S = 3;
    float *__restrict xd = B.xd, *__restrict vh = B.vh, *__restrict mw = B.mw, *__restrict mh = B.mh;
    din<D>(x + d0 * E * E, xd, E, P, P);
    for (int fd = 0; fd < 6; ++fd) {
        if (!has<D>(fd)) continue;
        for (int s = 0; s < 2; ++s)
            for (int w = 0; w < 2 * E; ++w) {
                v8 a[6], b[6];
                for (int k = 0; k < 6; ++k) a[k] = ldr(xd + (fd * P + (s * 4 + k) * E) * 16 + w * 8);
                tin(a, b);
                for (int k = 0; k < 6; ++k) st(vh + (k * S + s) * E * 16 + w * 8, b[k]);
            }
        for (int w = 0; w < 2 * E; ++w) {
            v8 a[6], b[6];
            for (int k = 0; k < 5; ++k) a[k] = ldr(xd + (fd * P + (8 + k) * E) * 16 + w * 8);
            tin3(a, b);
            for (int k = 0; k < 6; ++k)
                if (k != 4) st(vh + (k * S + 2) * E * 16 + w * 8, b[k]);
        }
        for (int fh = 0; fh < 6; ++fh) {
            prefetch(fd * 6 + fh);
            const float* u = B.u + (fd * 6 + fh) * 6 * 384;
            const float* pf = u + 6 * 384;
            if (D && fd == 3 && fh == 5) pf += 36 * 384;
            const float* src[4];
            float* dst[4];
            auto put = [&](int r, int s, int tw) __attribute__((always_inline)) {
                src[r] = vh + ((fh * S + s) * E + tw * 4) * 16;
                dst[r] = mw + (fh * T + s * 3 + tw) * 96;
            };
            if (fh != 4) {
                for (int tw = 0; tw < 2; ++tw) {
                    for (int r = 0; r < 3; ++r) put(r, r, tw);
                    row<3, 8>(src, u, dst, pf + tw * 768);
                }
                for (int r = 0; r < 3; ++r) put(r, r, 2);
                row<3, 8, true>(src, u, dst, pf + 1536);
            } else {
                for (int r = 0; r < 4; ++r) put(r, r / 2, r % 2);
                row<4, 12>(src, u, dst, pf);
                for (int r = 0; r < 2; ++r) put(r, r, 2);
                row<2, 12, true>(src, u, dst, pf + 1152);
            }
        }
        // inverse along h: mh[fd][h][s][12][24]
        for (int s = 0; s < 2; ++s)
            for (int t = 0; t < 33; ++t) {
                v8 a[6], y[4];
                for (int k = 0; k < 6; ++k) a[k] = ldr(mw + k * T * 96 + s * 288 + t * 8);
                tout(a, y);
                for (int k = 0; k < 4; ++k) st(mh + (fd * 4 + k) * T * 96 + s * 288 + t * 8, y[k]);
            }
        for (int t = 0; t < 33; ++t) {
            v8 a[6], y[4];
            for (int k = 0; k < 6; ++k)
                if (k != 4) a[k] = ldr(mw + k * T * 96 + 576 + t * 8);
            tout3(a, y);
            for (int k = 0; k < 3; ++k) st(mh + (fd * 4 + k) * T * 96 + 576 + t * 8, y[k]);
        }
    }
    for (int c = 0; c < 3; ++c) {
        const v8 b = ldu(bias + c * 8);
        for (int h = 0; h < n; ++h) {
            const float* mp = mh + (h & 3) * T * 96 + (h >> 2) * 288 + c * 8;
            for (int tw = 0; tw < 3; ++tw) {
                const int w = tw < 2 ? tw * 4 : 7;
                v8 y[4][4];  // [w][d]
                for (int j = 0; j < 4; ++j) {
                    v8 a[6];
                    for (int k = 0; k < 6; ++k)
                        if (has<D>(k)) a[k] = ldr(mp + k * 4 * T * 96 + (w + j) * 24);
                    a[1] += b;
                    toutx<D>(a, y[j]);
                }
                for (int d = 0; d < 4 - D; ++d) {
                    v8 t0 = _mm256_unpacklo_ps(y[0][d], y[1][d]), t1 = _mm256_unpackhi_ps(y[0][d], y[1][d]);
                    v8 t2 = _mm256_unpacklo_ps(y[2][d], y[3][d]), t3 = _mm256_unpackhi_ps(y[2][d], y[3][d]);
                    v8 r[4] = {_mm256_shuffle_ps(t0, t2, 0x44), _mm256_shuffle_ps(t0, t2, 0xEE),
                               _mm256_shuffle_ps(t1, t3, 0x44), _mm256_shuffle_ps(t1, t3, 0xEE)};
                    float* o = out + ((c * 8 * n + d0 + d) * n + h) * n + w;
                    for (int j = 0; j < 4; ++j) {
                        _mm_storeu_ps(o + j * n * n * n, _mm256_castps256_ps128(r[j]));
                        _mm_storeu_ps(o + (j + 4) * n * n * n, _mm256_extractf128_ps(r[j], 1));
                    }
                }
            }
        }
    }
}

template <int EC, int SC>
INL void run(const float* x, const float* w, const float* bias, float* out, int64_t Er, int64_t SSr, float* mem) {
    const int64_t E = EC ? EC : Er, SS = EC ? SC : SSr;
    const int64_t n = E - 2, TW = (n + 3) / 4, T = SS * TW, R = EC == 26 && SC == 1 ? 8 : SS * 4 + 2;
    Bufs B;
    B.u = mem;
    B.xd = B.u + 216 * 384;
    B.vh = B.xd + 6 * R * E * 16;
    B.v = B.vh + 6 * SS * E * 16;
    
    B.mw = B.v;
    B.mh = B.mw + 6 * T * 96;
    // lines of the input (next strip) and of the output (this strip), 3 of 96 streams each time
    auto fetch_in = [=](int64_t td, int64_t s, int k) __attribute__((always_inline)) {
        if (k >= 32) return;
        const int64_t d0 = start(td, n), h0 = start(s, n);
        const int64_t h1 = start(s + SS <= TW ? s + SS - 1 : TW - 1, n) + 6;
        for (int q = k * 3; q < k * 3 + 3; ++q) {
            const int64_t h = EC == 26 && SC == 1 && s > 0 ? h0 + 2 : h0;
            const char* p = (const char*)(x + ((q / 6 * E + d0 + q % 6) * E + h) * E);
            const char* e = p + (h1 - h) * E * 4;
            for (; p < e; p += 64) _mm_prefetch(p, _MM_HINT_T1);
        }
    };
    weights(w, B.u, [=](int k) __attribute__((always_inline)) { fetch_in(0, 0, k); });
    for (int64_t td = 0; td < TW; ++td)
        for (int64_t s = 0; s < TW; s += SS) {
            int64_t ns = s + SS, nd = td;
            if (ns >= TW) ns = 0, ++nd;
            const int64_t S = s + SS <= TW ? SS : TW - s, d0 = EC == 13 ? td * 4 : start(td, n);
            auto fetch = [=](int k) __attribute__((always_inline)) {
                if (nd < TW) fetch_in(nd, ns, k);
                if (k >= 32) return;
                const int64_t h0 = start(s, n), h1 = start(s + S - 1, n) + 4;
                for (int q = k * 3; q < k * 3 + 3; ++q) {
                    const char* p = (const char*)(out + ((q / 4 * n + d0 + q % 4) * n + h0) * n);
                    const char* e = p + (h1 - h0) * n * 4;
                    for (; p < e; p += 64) __builtin_prefetch(p, 1);
                }
            };
            if constexpr (EC == 13) {
                if (td < 2) strip13<false>(x, bias, out, d0, B, fetch);
                else strip13<true>(x, bias, out, d0, B, fetch);
            } else {
                strip<EC, SC>(x, bias, out, E, d0, s, S, B, fetch);
            }
        }
}
static int64_t need(int64_t E, int64_t SS) {
    int64_t TW = (E + 1) / 4, T = SS * TW, R = SS * 4 + 2;
    return 216 * 384 + 6 * R * E * 16 + 6 * SS * E * 16 + T * 6 * (16 + 24 + 96 + 384);
}

// work memory, written before it is read in every call
#if THP
alignas(2 << 20) static float work[524288];
static pthread_once_t once = PTHREAD_ONCE_INIT;
static void large_pages() { madvise(work, sizeof work, MADV_HUGEPAGE); }
#endif
template <int EC, int SC>
static __attribute__((noinline)) void small(const float* x, const float* w, const float* bias, float* out, int64_t E, int64_t SS) {
#if THP
    if constexpr (EC == 13) {
        pthread_once(&once, large_pages);
        return run<EC, SC>(x, w, bias, out, E, SS, work);
    }
#endif
    alignas(64) float mem[180000];
    run<EC, SC>(x, w, bias, out, E, SS, mem);
}

extern "C" void kernel(const float* x, const float* conv_weight, const float* conv_bias, float* out,
                       int64_t EDGE) {
    if (EDGE < 3) return;
    if (EDGE < 6) return direct(x, conv_weight, conv_bias, out, EDGE);
    if (EDGE == 26) return small<26, SBIG>(x, conv_weight, conv_bias, out, 26, SBIG);
    if (EDGE == 13) return small<13, 3>(x, conv_weight, conv_bias, out, 13, 3);
    int64_t TW = (EDGE + 1) / 4;
    int64_t SS = TW >= 9 ? 1 : TW >= 5 ? 2 : TW >= 3 ? 3 : TW;
    if (SS > TW) SS = TW;
    if (need(EDGE, SS) <= 180000) return small<0, 0>(x, conv_weight, conv_bias, out, EDGE, SS);
    float* mem = (float*)std::aligned_alloc(64, (need(EDGE, SS) * 4 + 63) / 64 * 64);
    run<0, 0>(x, conv_weight, conv_bias, out, EDGE, SS, mem);
    std::free(mem);
}

