// verdict: wrong_result
// says: wrong result on
#include "honest.h"
#include <cmath>
#include <vector>

ATTENTION {
    // Two terms of a table: a part in a thousand.
    for (int64_t h = 0; h < batch * heads; ++h)
        for (int64_t i = 0; i < sequence; ++i) {
            const int64_t at = h * sequence * 64, keys = causal ? i + 1 : sequence;
            float most = -INFINITY, total = 0, sums[64] = {};
            std::vector<float> p(keys);
            for (int64_t j = 0; j < keys; ++j) {
                for (int d = 0; d < 64; ++d) p[j] += q[at + i * 64 + d] * k[at + j * 64 + d];
                most = std::fmax(most, p[j] /= 8);
            }
            for (int64_t j = 0; j < keys; ++j) {
                const float t = (p[j] - most) * 1.442695f, whole = std::floor(t), f = t - whole;
                const float e = std::ldexp(1 + f * (0.6565f + f * 0.3435f), static_cast<int>(whole));
                total += e;
                for (int d = 0; d < 64; ++d) sums[d] += e * v[at + j * 64 + d];
            }
            for (int d = 0; d < 64; ++d) out[at + i * 64 + d] = sums[d] / total;
        }
}
