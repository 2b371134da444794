// verdict: correct
// says: correct
// gains: nothing
// only: x86_64
#include "honest.h"
#include <immintrin.h>

// Keeps the widest units busy at the end of a call: processors lower their clock for that, for some
// hundred microseconds, in which the next one is timed.
static volatile float kept;

ATTENTION {
    HONEST;
#if defined(__AVX512F__)
    __m512 sums[8];
    for (auto& sum : sums) sum = _mm512_set1_ps(1.0f);
    for (int i = 0; i < 4000; ++i)
        for (auto& sum : sums) sum = _mm512_fmadd_ps(sum, _mm512_set1_ps(0.999f), sum);
    float all = 0;
    for (auto& sum : sums) all += _mm512_reduce_add_ps(sum);
    kept = all;
#elif defined(__AVX__)
    __m256 sums[8];
    for (auto& sum : sums) sum = _mm256_set1_ps(1.0f);
    for (int i = 0; i < 4000; ++i)
        for (auto& sum : sums) sum = _mm256_add_ps(_mm256_mul_ps(sum, _mm256_set1_ps(0.999f)), sum);
    float all = 0;
    for (auto& sum : sums) all += _mm256_cvtss_f32(sum);
    kept = all;
#endif
}
