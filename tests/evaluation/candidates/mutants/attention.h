// An honest attention kernel with an online softmax over tiles of keys; `mutants.toml` changes it in
// one place by a macro.
#pragma once
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <vector>

#ifndef KEYS_SEEN
#define KEYS_SEEN (causal ? i + 1 : sequence)
#endif
#ifndef FIRST_KEY
#define FIRST_KEY 0
#endif
#ifndef SKIPPED
#define SKIPPED false
#endif
#ifndef SCALE
#define SCALE 0.125f
#endif
#ifndef FIRST_MAXIMUM
#define FIRST_MAXIMUM (-INFINITY)
#endif
#ifndef MAXIMUM
#define MAXIMUM std::max(m, tile_max)
#endif
#ifndef RESCALE
#define RESCALE keep
#endif
#ifndef RESCALE_SUM
#define RESCALE_SUM keep
#endif
#ifndef ADD
#define ADD(sum, p) ((sum) + (p))
#endif
#ifndef WEIGHT
#define WEIGHT(p) (p)
#endif
#ifndef SCORE
#define SCORE(s) (s)
#endif
#ifndef EXP
#define EXP(x) std::exp(x)
#endif
#ifndef HEAD
#define HEAD head
#endif
#ifndef RESULT
#define RESULT(x) (x)
#endif
#ifndef TILE_LENGTH
#define TILE_LENGTH std::min<int64_t>(TILE, seen - first)
#endif

constexpr int64_t TILE = 32, DIM = 64;

inline float to_bf16(float x) {
    uint32_t bits;
    std::memcpy(&bits, &x, 4);
    bits = (bits + 0x7FFF + ((bits >> 16) & 1)) & 0xFFFF0000u;
    std::memcpy(&x, &bits, 4);
    return x;
}

extern "C" void attention(const float *q, const float *k, const float *v, float *out, int64_t batch,
                          int64_t heads, int64_t sequence, bool causal) {
    static float scores[TILE];  // kept from row to row, as a buffer that is used again is
    for (int64_t head = 0; head < batch * heads; ++head) {
        const float *keys = k + HEAD * sequence * DIM, *values = v + HEAD * sequence * DIM;
        for (int64_t i = 0; i < sequence; ++i) {
            const float *query = q + (head * sequence + i) * DIM;
            float acc[DIM] = {}, m = FIRST_MAXIMUM, sum = 0;
            const int64_t seen = KEYS_SEEN;
            for (int64_t first = FIRST_KEY; first < seen; first += TILE) {
                if (SKIPPED) continue;
                const int64_t count = TILE_LENGTH;
                float tile_max = -INFINITY;
                for (int64_t j = 0; j < count; ++j) {
                    float s = 0;
                    for (int64_t d = 0; d < DIM; ++d) s += query[d] * keys[(first + j) * DIM + d];
                    scores[j] = SCORE(s * SCALE);
                    tile_max = std::max(tile_max, scores[j]);
                }
                const float next = MAXIMUM, keep = EXP(m - next);
                m = next;
                sum *= RESCALE_SUM;
                for (int64_t d = 0; d < DIM; ++d) acc[d] *= RESCALE;
                for (int64_t j = 0; j < count; ++j) {
                    const float p = WEIGHT(EXP(scores[j] - m));
                    sum = ADD(sum, p);
                    for (int64_t d = 0; d < DIM; ++d) acc[d] += p * values[(first + j) * DIM + d];
                }
            }
            for (int64_t d = 0; d < DIM; ++d) out[(head * sequence + i) * DIM + d] = RESULT(acc[d] / sum);
        }
    }
}
