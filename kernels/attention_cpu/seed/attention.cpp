#include "task.h"
#include <cmath>
#include <vector>
extern "C" void attention(const float* q, const float* k, const float* v, float* out,
                          int64_t batch, int64_t heads, int64_t sequence, bool causal) {
    std::vector<float> p(sequence);
    for (int64_t h = 0; h < batch * heads; ++h) {
        const float *Q = q + h * sequence * 64, *K = k + h * sequence * 64, *V = v + h * sequence * 64;
        float* O = out + h * sequence * 64;
        for (int64_t i = 0; i < sequence; ++i) {
            int64_t n = causal ? i + 1 : sequence;
            float m = -INFINITY, l = 0;
            for (int64_t j = 0; j < n; ++j) {
                float s = 0;
                for (int d = 0; d < 64; ++d) s += Q[i * 64 + d] * K[j * 64 + d];
                p[j] = s / 8; m = std::fmax(m, p[j]);
            }
            for (int64_t j = 0; j < n; ++j) { p[j] = std::exp(p[j] - m); l += p[j]; }
            for (int d = 0; d < 64; ++d) {
                float s = 0;
                for (int64_t j = 0; j < n; ++j) s += p[j] * V[j * 64 + d];
                O[i * 64 + d] = s / l;
            }
        }
    }
}
