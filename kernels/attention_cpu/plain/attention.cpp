// Attention forward in single precision: out = softmax(q·kᵀ / 8 + mask)·v for each head.
//
// The definition, as loops over each query row.

#include "task.h"

#include <cmath>
#include <vector>

extern "C" void attention(const float* q, const float* k, const float* v, float* out,
                          int64_t batch, int64_t heads, int64_t sequence, bool causal) {
    std::vector<float> p(sequence);
    for (int64_t h = 0; h < batch * heads; ++h) {
        const int64_t head = h * sequence * 64;
        for (int64_t i = 0; i < sequence; ++i) {
            const int64_t keys = causal ? i + 1 : sequence;
            const float* row = q + head + i * 64;
            float largest = -INFINITY;
            for (int64_t j = 0; j < keys; ++j) {
                float s = 0;
                for (int d = 0; d < 64; ++d) s += row[d] * k[head + j * 64 + d];
                p[j] = s * 0.125f;
                largest = p[j] > largest ? p[j] : largest;
            }
            float total = 0;
            for (int64_t j = 0; j < keys; ++j) {
                p[j] = std::exp(p[j] - largest);
                total += p[j];
            }
            for (int d = 0; d < 64; ++d) {
                float o = 0;
                for (int64_t j = 0; j < keys; ++j) o += p[j] * v[head + j * 64 + d];
                out[head + i * 64 + d] = o / total;
            }
        }
    }
}
