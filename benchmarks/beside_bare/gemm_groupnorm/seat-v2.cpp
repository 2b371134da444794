// out = 2*leaky(groupnorm(x W^T + b)): x transposed into panels, 16x6 FMA tiles, normalised per group.
#include <cstdint>
#include <cstring>
#include <immintrin.h>
#ifndef KC
#define KC 256
#endif
#ifndef PFX
#define PFX 0
#endif
static constexpr int M = 128, N = 512, K = 1024;
static constexpr int G = 16, GC = 32;
#ifndef PAD
#define PAD 16
#endif
#ifndef HINT
#define HINT 0
#endif
#ifndef PFC
#define PFC 1
#endif
#ifndef PFN
#define PFN 1
#endif
static constexpr int WS = KC + PAD;
alignas(64) static float xt[M * KC];
alignas(64) static float ct[(N + 8) * M];
alignas(64) static float wp[6 * WS];

#define INL static inline __attribute__((always_inline))

INL void tr8(__m256 r[8]) {
    __m256 t0 = _mm256_unpacklo_ps(r[0], r[1]), t1 = _mm256_unpackhi_ps(r[0], r[1]);
    __m256 t2 = _mm256_unpacklo_ps(r[2], r[3]), t3 = _mm256_unpackhi_ps(r[2], r[3]);
    __m256 t4 = _mm256_unpacklo_ps(r[4], r[5]), t5 = _mm256_unpackhi_ps(r[4], r[5]);
    __m256 t6 = _mm256_unpacklo_ps(r[6], r[7]), t7 = _mm256_unpackhi_ps(r[6], r[7]);
    __m256 s0 = _mm256_shuffle_ps(t0, t2, 0x44), s1 = _mm256_shuffle_ps(t0, t2, 0xEE);
    __m256 s2 = _mm256_shuffle_ps(t1, t3, 0x44), s3 = _mm256_shuffle_ps(t1, t3, 0xEE);
    __m256 s4 = _mm256_shuffle_ps(t4, t6, 0x44), s5 = _mm256_shuffle_ps(t4, t6, 0xEE);
    __m256 s6 = _mm256_shuffle_ps(t5, t7, 0x44), s7 = _mm256_shuffle_ps(t5, t7, 0xEE);
    r[0] = _mm256_permute2f128_ps(s0, s4, 0x20); r[1] = _mm256_permute2f128_ps(s1, s5, 0x20);
    r[2] = _mm256_permute2f128_ps(s2, s6, 0x20); r[3] = _mm256_permute2f128_ps(s3, s7, 0x20);
    r[4] = _mm256_permute2f128_ps(s0, s4, 0x31); r[5] = _mm256_permute2f128_ps(s1, s5, 0x31);
    r[6] = _mm256_permute2f128_ps(s2, s6, 0x31); r[7] = _mm256_permute2f128_ps(s3, s7, 0x31);
}

static void packx(const float* x) {
    for (int m = 0; m < M; m += 8)
        for (int k = 0; k < KC; k += 8) {
            __m256 r[8];
            for (int i = 0; i < 8; i++) r[i] = _mm256_loadu_ps(x + (m + i) * K + k);
            tr8(r);
            float* d = xt + (m / 16) * 16 * KC + k * 16 + (m & 8);
            for (int i = 0; i < 8; i++) _mm256_store_ps(d + i * 16, r[i]);
        }
}

// R columns of C, 16 rows
template <int R>
INL void micro(const float* __restrict a, const float* __restrict w, float* __restrict c, bool add) {
    __m256 acc[R][2];
    for (int r = 0; r < R; r++) acc[r][0] = acc[r][1] = _mm256_setzero_ps();
    for (int k = 0; k < KC; k += 4) {
#pragma GCC unroll 4
        for (int u = 0; u < 4; u++) {
            __m256 a0 = _mm256_load_ps(a + u * 16), a1 = _mm256_load_ps(a + u * 16 + 8);
            if (PFX) _mm_prefetch((const char*)(a + u * 16 + PFX * 16), _MM_HINT_T0);
#pragma GCC unroll 6
            for (int r = 0; r < R; r++) {
                __m256 b = _mm256_broadcast_ss(w + r * WS + u);
                acc[r][0] = _mm256_fmadd_ps(a0, b, acc[r][0]);
                acc[r][1] = _mm256_fmadd_ps(a1, b, acc[r][1]);
            }
        }
        a += 64;
        w += 4;
    }
    for (int r = 0; r < R; r++) {
        if (add) {
            acc[r][0] = _mm256_add_ps(acc[r][0], _mm256_load_ps(c + r * M));
            acc[r][1] = _mm256_add_ps(acc[r][1], _mm256_load_ps(c + r * M + 8));
        }
        _mm256_store_ps(c + r * M, acc[r][0]);
        _mm256_store_ps(c + r * M + 8, acc[r][1]);
    }
}

template <int R>
__attribute__((noinline)) static void strip(const float* w, float* c, bool add, const float* next, const float* nx) {
    {
        for (int r = 0; r < R; r++)
            for (int k = 0; k < KC; k += 8) _mm256_store_ps(wp + r * WS + k, _mm256_loadu_ps(w + r * K + k));
        w = wp;
    }
    for (int p = 0; p < M / 16; p++) {
        // a slice of the next strip of W, and of x of the next block, towards the caches
        constexpr int L = KC / 128;
#pragma GCC unroll 8
        for (int i = 0; i < L; i++)
#pragma GCC unroll 6
            for (int r = 0; r < 6; r++) _mm_prefetch((const char*)(next + r * K + (p * L + i) * 16), HINT ? _MM_HINT_T1 : _MM_HINT_T0);
        if (PFC && add)
#pragma GCC unroll 6
            for (int r = 0; r < R; r++) _mm_prefetch((const char*)(c + p * 16 + r * M), _MM_HINT_T0);
        if (PFN && nx)
#pragma GCC unroll 4
            for (int i = 0; i < 4; i++) _mm_prefetch((const char*)(nx + (p / 4) * K + ((p & 3) * 4 + i) * 16), _MM_HINT_T1);
        micro<R>(xt + p * 16 * KC, w, c + p * 16, add);
    }
}

static void group(int g, const float* lb, const float* nw, const float* nb, float* out) {
    constexpr int GD = 8;
    alignas(32) float gw[GC], gb[GC], bias[GC];
    for (int j = 0; j < GC; j++) { gw[j] = 2 * nw[g * GC + j]; gb[j] = 2 * nb[g * GC + j]; bias[j] = lb[g * GC + j]; }
    const float* c = ct + g * GC * M;
    const __m256 slope = _mm256_set1_ps(0.01f);
    for (int m = 0; m < M; m += 8) {
        alignas(32) float v[GC * 8];
        {   // what is written in the next turn
            float* o = m + GD < M ? out + (m + GD) * N + g * GC : out + (m + GD - M) * N + (g + 1 < G ? g + 1 : g) * GC;
#pragma GCC unroll 8
            for (int i = 0; i < 8; i++) { __builtin_prefetch(o + i * N, 1); __builtin_prefetch(o + i * N + 16, 1); }
        }
        __m256 s[4];
        for (int i = 0; i < 4; i++) s[i] = _mm256_setzero_ps();
        for (int j = 0; j < GC; j += 4)
            for (int i = 0; i < 4; i++) {
                __m256 t = _mm256_add_ps(_mm256_load_ps(c + (j + i) * M + m), _mm256_broadcast_ss(bias + j + i));
                _mm256_store_ps(v + (j + i) * 8, t);
                s[i] = _mm256_add_ps(s[i], t);
            }
        __m256 mean = _mm256_mul_ps(_mm256_add_ps(_mm256_add_ps(s[0], s[1]), _mm256_add_ps(s[2], s[3])), _mm256_set1_ps(1.0f / GC));
        for (int i = 0; i < 4; i++) s[i] = _mm256_setzero_ps();
        for (int j = 0; j < GC; j += 4)
            for (int i = 0; i < 4; i++) {
                __m256 t = _mm256_sub_ps(_mm256_load_ps(v + (j + i) * 8), mean);
                s[i] = _mm256_fmadd_ps(t, t, s[i]);
            }
        __m256 var = _mm256_mul_ps(_mm256_add_ps(_mm256_add_ps(s[0], s[1]), _mm256_add_ps(s[2], s[3])), _mm256_set1_ps(1.0f / GC));
        __m256 rstd = _mm256_div_ps(_mm256_set1_ps(1.0f), _mm256_sqrt_ps(_mm256_add_ps(var, _mm256_set1_ps(1e-5f))));
        for (int j = 0; j < GC; j += 8) {
            __m256 r[8];
            for (int i = 0; i < 8; i++) {
                __m256 t = _mm256_mul_ps(_mm256_sub_ps(_mm256_load_ps(v + (j + i) * 8), mean), rstd);
                t = _mm256_fmadd_ps(t, _mm256_broadcast_ss(gw + j + i), _mm256_broadcast_ss(gb + j + i));
                r[i] = _mm256_max_ps(t, _mm256_mul_ps(t, slope));
            }
            tr8(r);
            for (int i = 0; i < 8; i++) _mm256_storeu_ps(out + (m + i) * N + g * GC + j, r[i]);
        }
    }
}



extern "C" void kernel(const float* x, const float* linear_weight, const float* linear_bias, const float* norm_weight, const float* norm_bias, float* out) {
    for (int k0 = 0; k0 < K; k0 += KC) {
        packx(x + k0);
        bool add = k0 > 0, last = k0 + KC == K;
        const float* w = linear_weight + k0;
        int g = 0;
        for (int n = 0; n + 6 <= N; n += 6) {
            const float* next = n + 12 <= N ? w + (n + 6) * K : w + n * K;
            strip<6>(w + n * K, ct + n * M, add, next, last || n >= 384 ? nullptr : x + k0 + KC + n / 3 * K);
            if (last) while ((g + 1) * GC <= n + 6) group(g++, linear_bias, norm_weight, norm_bias, out);
        }
        strip<2>(w + 510 * K, ct + 510 * M, add, w, nullptr);
        if (last) while (g < G) group(g++, linear_bias, norm_weight, norm_bias, out);
    }
}
