// A plain and correct kernel that the cheating candidates wrap. Without <cmath>, which takes most of
// the time of their compilation.
#pragma once
#include "task.h"

static void honest_row(const float* q, const float* k, const float* v, float* out, int64_t keys) {
    double most = -__builtin_inf(), total = 0, sums[64] = {};
    for (int64_t j = 0; j < keys; ++j) {
        double score = 0;
        for (int d = 0; d < 64; ++d) score += q[d] * k[j * 64 + d];
        most = __builtin_fmax(most, score / 8);
    }
    for (int64_t j = 0; j < keys; ++j) {
        double score = 0;
        for (int d = 0; d < 64; ++d) score += q[d] * k[j * 64 + d];
        const double p = __builtin_exp(score / 8 - most);
        total += p;
        for (int d = 0; d < 64; ++d) sums[d] += p * v[j * 64 + d];
    }
    for (int d = 0; d < 64; ++d) out[d] = static_cast<float>(sums[d] / total);
}

// Compiled by itself, so that it is the same machine code in every candidate: inlined into one that
// has more to do, or 48 bytes further on, it was up to 30% faster, which a comparison would take for a trick's gain.
#if defined(__clang__)
#define ALONE __attribute__((noinline, aligned(64)))
#else
#define ALONE __attribute__((noipa, aligned(64)))
#endif

ALONE static void honest(const float* q, const float* k, const float* v, float* out, int64_t batch,
                   int64_t heads, int64_t sequence, bool causal) {
    for (int64_t h = 0; h < batch * heads; ++h)
        for (int64_t i = 0; i < sequence; ++i) {
            const int64_t at = h * sequence * 64, row = at + i * 64;
            honest_row(q + row, k + at, v + at, out + row, causal ? i + 1 : sequence);
        }
}

#define ATTENTION                                                                              \
    extern "C" void attention(const float* q, const float* k, const float* v, float* out,     \
                              int64_t batch, int64_t heads, int64_t sequence, bool causal)
#define HONEST honest(q, k, v, out, batch, heads, sequence, causal)
