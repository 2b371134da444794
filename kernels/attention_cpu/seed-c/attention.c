// Attention forward in single precision: out = softmax(q·kᵀ / 8 + mask)·v for each head.
//
// Row by row, as the definition says, with LANES partial sums so that the compiler can use vectors.

#include "task.h"

#include <math.h>
#include <stdlib.h>

#define LANES 8        // tune: 1 4 8 16 32  (partial sums of a product)
#define BLOCK_KEYS 16  // tune: 1 4 8 16 32 64  (keys whose values are added at a time)
#define D 64

static float product(const float* a, const float* b) {
    float sums[LANES] = {0};
    for (int d = 0; d < D; d += LANES)
        for (int lane = 0; lane < LANES; ++lane) sums[lane] += a[d + lane] * b[d + lane];
    float sum = 0;
    for (int lane = 0; lane < LANES; ++lane) sum += sums[lane];
    return sum;
}

static void row(const float* q, const float* k, const float* v, float* out, float* p, int64_t keys) {
    float largest = -INFINITY;
    for (int64_t j = 0; j < keys; ++j) {
        p[j] = product(q, k + j * D) * 0.125f;
        if (p[j] > largest) largest = p[j];
    }
    float total = 0, sums[D] = {0};
    for (int64_t j = 0; j < keys; ++j) {
        p[j] = expf(p[j] - largest);
        total += p[j];
    }
    for (int64_t first = 0; first < keys; first += BLOCK_KEYS) {
        const int64_t end = first + BLOCK_KEYS < keys ? first + BLOCK_KEYS : keys;
        float part[D] = {0};
        for (int64_t j = first; j < end; ++j)
            for (int d = 0; d < D; ++d) part[d] += p[j] * v[j * D + d];
        for (int d = 0; d < D; ++d) sums[d] += part[d];
    }
    for (int d = 0; d < D; ++d) out[d] = sums[d] / total;
}

void attention(const float* q, const float* k, const float* v, float* out, int64_t batch,
               int64_t heads, int64_t sequence, bool causal) {
    float* p = malloc((size_t)sequence * sizeof *p);
    for (int64_t head = 0; head < batch * heads; ++head) {
        const int64_t at = head * sequence * D;
        for (int64_t i = 0; i < sequence; ++i)
            row(q + at + i * D, k + at, v + at, out + at + i * D, p, causal ? i + 1 : sequence);
    }
    free(p);
}
