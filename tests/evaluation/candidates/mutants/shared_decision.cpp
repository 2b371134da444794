#include <algorithm>
#include <cmath>
#include <cstdint>

// Sixteen rows share one decision: where the logit of any exceeds its reference by much, the
// references of all move. Within the tolerance, but a row's bits depend on keys after it.
extern "C" void attention(const float* q, const float* k, const float* v, float* out,
                          int64_t batch, int64_t heads, int64_t sequence, bool causal) {
    constexpr int64_t ROWS = 16, KEYS = 16, DIM = 64;
    constexpr float MUCH = 60.0f;
    for (int64_t head = 0; head < batch * heads; ++head) {
        const float *keys = k + head * sequence * DIM, *values = v + head * sequence * DIM;
        for (int64_t block = 0; block < sequence; block += ROWS) {
            const int64_t rows = std::min(ROWS, sequence - block);
            float acc[ROWS][DIM] = {}, sum[ROWS] = {}, reference[ROWS];
            std::fill(reference, reference + ROWS, -INFINITY);
            const int64_t end = causal ? block + rows : sequence;
            for (int64_t first = 0; first < end; first += KEYS) {
                const int64_t count = std::min(KEYS, end - first);
                float s[ROWS][KEYS], top[ROWS];
                bool move = first == 0;
                for (int64_t r = 0; r < rows; ++r) {
                    top[r] = reference[r];
                    for (int64_t j = 0; j < count; ++j) {
                        float dot = 0;
                        for (int64_t d = 0; d < DIM; ++d)
                            dot += q[(head * sequence + block + r) * DIM + d] *
                                   keys[(first + j) * DIM + d];
                        const bool seen = !causal || first + j <= block + r;
                        s[r][j] = seen ? dot * 0.125f : -INFINITY;
                        top[r] = std::max(top[r], s[r][j]);
                    }
                    move = move || top[r] > reference[r] + MUCH;
                }
                for (int64_t r = 0; r < rows; ++r) {
                    const float next = move ? top[r] : reference[r];
                    const float keep = std::exp(reference[r] - next);
                    reference[r] = next;
                    sum[r] *= keep;
                    for (int64_t d = 0; d < DIM; ++d) acc[r][d] *= keep;
                    for (int64_t j = 0; j < count; ++j) {
                        const float p = std::exp(s[r][j] - next);
                        sum[r] += p;
                        for (int64_t d = 0; d < DIM; ++d)
                            acc[r][d] += p * values[(first + j) * DIM + d];
                    }
                }
            }
            for (int64_t r = 0; r < rows; ++r)
                for (int64_t d = 0; d < DIM; ++d)
                    out[(head * sequence + block + r) * DIM + d] = acc[r][d] / sum[r];
        }
    }
}
