// flags: -O3 -fno-tree-vectorize
// Winograd F(4x4,3x3), lanes = 8 tiles of one row (tiles 0,2,4,6 | 1,3,5,7),
// products in the transformed domain 4 output channels x 2 vectors in registers, Mish fused behind the
// output transform. log2(e) is folded into the transformed weights: z = log2(e) * (conv + bias - 0.7).
#include <cstdint>
#include <cstddef>
#include <immintrin.h>

#ifndef PREFETCH
#define PREFETCH 1 // tune: 0 1
#endif

typedef __m256 V;
#define INL static inline __attribute__((always_inline))
INL V set1(float a) { return _mm256_set1_ps(a); }
INL V add(V a, V b) { return _mm256_add_ps(a, b); }
INL V sub(V a, V b) { return _mm256_sub_ps(a, b); }
INL V mul(V a, V b) { return _mm256_mul_ps(a, b); }
INL V fma(V a, V b, V c) { return _mm256_fmadd_ps(a, b, c); }
INL V fnma(V a, V b, V c) { return _mm256_fnmadd_ps(a, b, c); }

static constexpr int IC = 8, OC = 32, H = 64, W = 64, OH = 62, OW = 62, N = 4;
static constexpr float LOG2E = 1.44269504088896341f;

// input transform, one dimension
INL void bt6(V d0, V d1, V d2, V d3, V d4, V d5, V* o, int s) {
    const V four = set1(4.f), five = set1(5.f), two = set1(2.f);
    V a = fnma(four, d2, d4), b = fnma(four, d1, d3);
    V c = sub(d4, d2), e = sub(d3, d1);
    o[0] = fma(four, d0, fnma(five, d2, d4));
    o[s] = add(a, b);
    o[2 * s] = sub(a, b);
    o[3 * s] = fma(two, e, c);
    o[4 * s] = fnma(two, e, c);
    o[5 * s] = fma(four, d1, fnma(five, d3, d5));
}
INL void bt4(V d0, V d1, V d2, V d3, V* o, int s) {
    o[0] = sub(d0, d2);
    o[s] = add(d1, d2);
    o[2 * s] = sub(d2, d1);
    o[3 * s] = sub(d1, d3);
}

INL V mish(V z) {
    const V magic = set1(12582912.f);
    V zc = _mm256_max_ps(_mm256_min_ps(z, set1(30.f)), set1(-100.f));
    V t = add(zc, magic);
    V r = sub(zc, sub(t, magic));
    V p = fma(set1(1.33952155e-3f), r, set1(9.61827197e-3f));
    p = fma(p, r, set1(5.55031846e-2f));
    p = fma(p, r, set1(2.40226462e-1f));
    p = fma(p, r, set1(6.93147182e-1f));
    p = fma(p, r, set1(1.0f));
    V e = _mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(p), _mm256_slli_epi32(_mm256_castps_si256(t), 23)));
    V n = mul(e, add(e, set1(2.f)));
    V d = fma(n, set1(LOG2E), set1(2.f * LOG2E));
    return _mm256_div_ps(mul(z, n), d);
}

// one row of 6 transformed columns -> 32 outputs
template <bool CUT> INL void row_out(V t0, V t1, V t2, V t3, V t4, V t5, float* o) {
    V s12 = add(t1, t2), d12 = sub(t1, t2), s34 = add(t3, t4), d34 = sub(t3, t4);
    V y0 = add(add(t0, s12), s34);
    V y1 = fma(set1(2.f), d34, d12);
    V y2 = fma(set1(4.f), s34, s12);
    V y3 = add(fma(set1(8.f), d34, d12), t5);
    y0 = mish(y0); y1 = mish(y1); y2 = mish(y2); y3 = mish(y3);
    V a = _mm256_unpacklo_ps(y0, y1), b = _mm256_unpackhi_ps(y0, y1);
    V c = _mm256_unpacklo_ps(y2, y3), d = _mm256_unpackhi_ps(y2, y3);
#define PD(f, x, y) _mm256_castpd_ps(f(_mm256_castps_pd(x), _mm256_castps_pd(y)))
    V r0 = PD(_mm256_unpacklo_pd, a, c), r1 = PD(_mm256_unpackhi_pd, a, c);
    V r2 = PD(_mm256_unpacklo_pd, b, d), r3 = PD(_mm256_unpackhi_pd, b, d);
    _mm256_storeu_ps(o, r0);
    _mm256_storeu_ps(o + 8, r1);
    _mm256_storeu_ps(o + 16, r2);
    if (CUT) {
        _mm_storeu_ps(o + 24, _mm256_castps256_ps128(r3));
        _mm_storel_pi((__m64*)(o + 28), _mm256_extractf128_ps(r3, 1));
    } else
        _mm256_storeu_ps(o + 24, r3);
}

// output transform of one channel and one vector of tiles; M: R rows x 6
template <int R, bool CUT> INL void tile_out(const V* M, V bias, float* o) {
    if (R == 6) {
        {
            V a[6], b[6];
#pragma GCC unroll 6
            for (int j = 0; j < 6; j++) {
                V m1 = M[6 + j];
                if (j == 1) m1 = add(m1, bias);
                V s12 = add(m1, M[12 + j]), s34 = add(M[18 + j], M[24 + j]);
                a[j] = add(add(M[j], s12), s34);
                b[j] = fma(set1(4.f), s34, s12);
            }
            row_out<false>(a[0], a[1], a[2], a[3], a[4], a[5], o);
            row_out<false>(b[0], b[1], b[2], b[3], b[4], b[5], o + 2 * OW);
        }
        {
            V a[6], b[6];
#pragma GCC unroll 6
            for (int j = 0; j < 6; j++) {
                V m1 = M[6 + j];
                if (j == 1) m1 = add(m1, bias);
                V d12 = sub(m1, M[12 + j]), d34 = sub(M[18 + j], M[24 + j]);
                a[j] = fma(set1(2.f), d34, d12);
                b[j] = add(fma(set1(8.f), d34, d12), M[30 + j]);
            }
            row_out<false>(a[0], a[1], a[2], a[3], a[4], a[5], o + OW);
            row_out<CUT>(b[0], b[1], b[2], b[3], b[4], b[5], o + 3 * OW);
        }
    } else {
        V a[6], b[6];
#pragma GCC unroll 6
        for (int j = 0; j < 6; j++) {
            V m1 = M[6 + j];
            if (j == 1) m1 = add(m1, bias);
            a[j] = add(add(M[j], m1), M[12 + j]);
            b[j] = sub(sub(m1, M[12 + j]), M[18 + j]);
        }
        row_out<false>(a[0], a[1], a[2], a[3], a[4], a[5], o);
        row_out<CUT>(b[0], b[1], b[2], b[3], b[4], b[5], o + OW);
    }
}

// R input rows -> R - 2 output rows
template <int R>
static __attribute__((noinline)) void strip(const float* x, const float* U, const float* bias, float* out, V* Vb, V* M) {
    constexpr int P = R * 6;
    // input transform: Vb[pos][ic][tv]
    for (int ic = 0; ic < IC; ic++) {
        const float* xc = x + (size_t)ic * H * W;
#pragma GCC unroll 1
        for (int tv = 0; tv < 2; tv++) {
            V tmp[R][6];
#pragma GCC unroll 1
            for (int r = 0; r < R; r++) {
                const float* p = xc + r * W + tv * 32;
                V l0 = _mm256_loadu_ps(p), l1 = _mm256_loadu_ps(p + 8), l2 = _mm256_loadu_ps(p + 16), l3 = _mm256_loadu_ps(p + 24);
                V h0 = _mm256_loadu_ps(p + 4), h1 = _mm256_loadu_ps(p + 12), h2 = _mm256_loadu_ps(p + 20);
                V h3 = tv ? _mm256_zextps128_ps256(_mm_loadu_ps(p + 28)) : _mm256_loadu_ps(p + 28);
                V a = _mm256_unpacklo_ps(l0, l1), b = _mm256_unpackhi_ps(l0, l1);
                V c = _mm256_unpacklo_ps(l2, l3), d = _mm256_unpackhi_ps(l2, l3);
                V e = _mm256_unpacklo_ps(h0, h1), f = _mm256_unpacklo_ps(h2, h3);
                bt6(PD(_mm256_unpacklo_pd, a, c), PD(_mm256_unpackhi_pd, a, c), PD(_mm256_unpacklo_pd, b, d),
                    PD(_mm256_unpackhi_pd, b, d), PD(_mm256_unpacklo_pd, e, f), PD(_mm256_unpackhi_pd, e, f), tmp[r], 1);
            }
            V* v = Vb + ic * 2 + tv;
#pragma GCC unroll 1
            for (int j = 0; j < 6; j++) {
                if (R == 6)
                    bt6(tmp[0][j], tmp[1][j], tmp[2][j], tmp[3][j], tmp[4 % R][j], tmp[5 % R][j], v + j * 16, 6 * 16);
                else
                    bt4(tmp[0][j], tmp[1][j], tmp[2][j], tmp[3][j], v + j * 16, 6 * 16);
            }
        }
    }
    for (int ob = 0; ob < OC; ob += 4) {
        if (PREFETCH) {
#pragma GCC unroll 1
            for (int o = 0; o < 4; o++) {
                const char* q = (const char*)(out + (size_t)(ob + o) * OH * OW);
#pragma GCC unroll 16
                for (int k = 0; k < (R - 2) * OW * 4; k += 64) __builtin_prefetch(q + k, 1);
            }
        }
        const float* u = U + ob * (P * 8);
#pragma GCC unroll 1
        for (int p = 0; p < P; p++) {
            const V* v = Vb + p * 16;
            const float* up = u + p * 8;
            V acc[4][2];
#pragma GCC unroll 8
            for (int ic = 0; ic < IC; ic++) {
                V v0 = v[ic * 2], v1 = v[ic * 2 + 1];
                asm("" : "+x"(v0), "+x"(v1));
#pragma GCC unroll 4
                for (int o = 0; o < 4; o++) {
                    V w = set1(up[o * P * 8 + ic]);
                    acc[o][0] = ic ? fma(w, v0, acc[o][0]) : mul(w, v0);
                    acc[o][1] = ic ? fma(w, v1, acc[o][1]) : mul(w, v1);
                }
            }
#pragma GCC unroll 4
            for (int o = 0; o < 4; o++) {
                M[(o * 2) * P + p] = acc[o][0];
                M[(o * 2 + 1) * P + p] = acc[o][1];
            }
        }
#pragma GCC unroll 1
        for (int o = 0; o < 4; o++) {
            float* q = out + (size_t)(ob + o) * OH * OW;
            V bv = set1(bias[ob + o]);
            // the right half first: its last store of a row runs into the next row, written later
            tile_out<R, R == 4>(M + (o * 2 + 1) * P, bv, q + 32);
            tile_out<R, false>(M + (o * 2) * P, bv, q);
        }
    }
}

INL void g6(V g0, V g1, V g2, V* o, int s) {
    V k = set1(-1.f / 6), e = set1(1.f / 24), f = set1(1.f / 12), h = set1(1.f / 6);
    V a = mul(k, add(g0, g2)), b = mul(k, g1);
    o[0] = mul(set1(0.25f), g0);
    o[s] = add(a, b);
    o[2 * s] = sub(a, b);
    V c = fma(h, g2, mul(e, g0)), d = mul(f, g1);
    o[3 * s] = add(c, d);
    o[4 * s] = sub(c, d);
    o[5 * s] = g2;
}
INL void g4(V g0, V g1, V g2, V* o, int s) {
    V a = mul(set1(0.5f), add(g0, g2)), b = mul(set1(0.5f), g1);
    o[0] = g0;
    o[s] = add(a, b);
    o[2 * s] = sub(a, b);
    o[3 * s] = g2;
}

extern "C" void kernel(const float* x, const float* conv_weight, const float* conv_bias, float* out) {
    V U6[OC * 36], U4[OC * 24], Vb[36 * 16], M[36 * 8];
    float bias[OC];
    for (int o = 0; o < OC; o++) bias[o] = (conv_bias[o] - 0.7f) * LOG2E;
    const __m256i idx = _mm256_setr_epi32(0, 9, 18, 27, 36, 45, 54, 63);
#pragma GCC unroll 1
    for (int o = 0; o < OC; o++) {
        V g[9], t[18];
        for (int k = 0; k < 9; k++) g[k] = mul(_mm256_i32gather_ps(conv_weight + o * 72 + k, idx, 4), set1(LOG2E));
        for (int r = 0; r < 3; r++) g6(g[r * 3], g[r * 3 + 1], g[r * 3 + 2], t + r * 6, 1);
        for (int j = 0; j < 6; j++) {
            g6(t[j], t[6 + j], t[12 + j], U6 + o * 36 + j, 6);
            g4(t[j], t[6 + j], t[12 + j], U4 + o * 24 + j, 6);
        }
    }
    for (int n = 0; n < N; n++) {
        const float* xn = x + (size_t)n * IC * H * W;
        float* on = out + (size_t)n * OC * OH * OW;
        for (int s = 0; s < 15; s++)
            strip<6>(xn + s * 4 * W, (const float*)U6, bias, on + s * 4 * OW, Vb, M);
        strip<4>(xn + 60 * W, (const float*)U4, bias, on + 60 * OW, Vb, M);
    }
}
