// Attention forward in single precision: out = softmax(q·kᵀ / 8)·v for each head, one thread.
//
// The first version computes row by row, as the definition says. Each line with `tune:` names the
// values that a constant may take; together they reach from there to a blocked kernel with an
// online softmax. Every combination computes the same function.

#include "task.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <type_traits>
#include <vector>

constexpr int ALGORITHM = 0;    // tune: 0 1 2  (row by row, all scores of a tile, online softmax)
constexpr int TILE_Q = 8;       // tune: 4 8 16 24 32 48 64 96 128  (query rows of a tile)
constexpr int TILE_K = 32;      // tune: 16 32 64 128 256  (keys of a tile)
constexpr int VECTOR = 1;       // tune: 1 4 8 16  (floats in a vector)
constexpr int ROWS = 1;         // tune: 1 2 3 4 6 8  (rows that a block keeps in registers)
constexpr int COLUMNS_S = 1;    // tune: 1 2 3 4  (vectors of scores that a block keeps)
constexpr int COLUMNS_O = 1;    // tune: 1 2 4  (vectors of output that a block keeps)
constexpr int UNROLL = 1;       // tune: 1 2 4 8  (steps of the inner loop at a time)
constexpr int EXPONENTIAL = 0;  // tune: 0 1 2 3  (std::exp, polynomial of degree 6, 5, 4)
constexpr int PACK_K = 0;       // tune: 0 1  (keys as they are, transposed tile by tile)
constexpr int SKIP_FUTURE = 0;  // tune: 0 1  (mask what causal rows must not see, do not compute it)
constexpr int SCALE_Q = 0;      // tune: 0 1  (scale the scores, scale the queries)
constexpr int LAZY_RESCALE = 0; // tune: 0 1  (rescale always, only when the maximum has grown)

namespace {

constexpr int D = 64;
constexpr float SCALE = 0.125f;  // 1 / sqrt(D)
constexpr float NOTHING = -std::numeric_limits<float>::infinity();

typedef float Floats __attribute__((vector_size(4 * VECTOR)));
typedef int32_t Ints __attribute__((vector_size(4 * VECTOR)));
using Vector = std::conditional_t<VECTOR == 1, float, Floats>;
using Integers = std::conditional_t<VECTOR == 1, int32_t, Ints>;
#pragma GCC diagnostic ignored "-Wpsabi"  // vectors wider than the processor's are split

template <class To, class From>
inline To bits(const From& from) {
    To to;
    std::memcpy(&to, &from, sizeof to);
    return to;
}

inline Vector load(const float* from) {
    Vector value;
    std::memcpy(&value, from, sizeof value);
    return value;
}

inline void store(float* to, const Vector& value) { std::memcpy(to, &value, sizeof value); }

inline float lane(const Vector& value, int i) {
    return reinterpret_cast<const float*>(&value)[i];
}

inline int64_t round_up(int64_t n, int64_t step) { return (n + step - 1) / step * step; }

inline float sum(const Vector& value) {
    float total = 0;
    for (int i = 0; i < VECTOR; ++i) total += lane(value, i);
    return total;
}

// ---------------------------------------------------------------- exponential

// 2^f for f in [-1/2, 1/2]: interpolation at Chebyshev points.
inline Vector power_of_two(const Vector& f) {
    if (EXPONENTIAL == 1)
        return 1.0f + f * (0.693147207f + f * (0.240226509f + f * (0.055503272f +
               f * (0.009618057f + f * (0.001340043f + f * 0.000154614f)))));
    if (EXPONENTIAL == 2)
        return 1.000000075f + f * (0.693147188f + f * (0.240221075f + f * (0.055503571f +
               f * (0.009676032f + f * 0.001339086f))));
    return 1.0f + f * (0.693121045f + f * (0.240223490f + f * (0.055921976f + f * 0.009666369f)));
}

// e^x for x <= 0; zero where x is below what a float can hold.
inline Vector exponential(const Vector& x) {
    constexpr float ROUND = 12582912.0f;  // 1.5 · 2^23: adding it rounds to an integer
    Vector t = x * 1.44269504f;
    Vector shifted = t + ROUND;
    Integers exponent = bits<Integers>(shifted) << 23;
    Vector fraction = t - (shifted - ROUND);
    Vector power = power_of_two(fraction);
    Vector result = bits<Vector>(bits<Integers>(power) + exponent);
    return x < -87.0f ? Vector{} : result;
}

// Replaces n scores by e^(score - maximum), up to the next whole vector; returns their sum.
// Scores behind the n-th are set to count nothing.
inline float exponentials(float* scores, int64_t n, int64_t padded, float maximum) {
    for (int64_t j = n; j < padded; ++j) scores[j] = NOTHING;
    if (EXPONENTIAL == 0) {
        float total = 0;
        for (int64_t j = 0; j < padded; ++j) total += scores[j] = std::exp(scores[j] - maximum);
        return total;
    }
    Vector total = {};
    for (int64_t j = 0; j < padded; j += VECTOR) {
        Vector e = exponential(load(scores + j) - maximum);
        store(scores + j, e);
        total += e;
    }
    return sum(total);
}

inline float largest(const float* values, int64_t n) {
    float result = NOTHING;
    int64_t j = 0;
    if (VECTOR > 1 && n >= VECTOR) {
        Vector most = load(values);
        for (j = VECTOR; j + VECTOR <= n; j += VECTOR) {
            Vector value = load(values + j);
            most = most > value ? most : value;
        }
        for (int i = 0; i < VECTOR; ++i) result = std::max(result, lane(most, i));
    }
    for (; j < n; ++j) result = std::max(result, values[j]);
    return result;
}

// ---------------------------------------------------------------- products

inline float dot(const float* a, const float* b) {
    Vector total = {};
    for (int d = 0; d < D; d += VECTOR) total += load(a + d) * load(b + d);
    return sum(total);
}

// c[R][C vectors] (+)= a[R][depth] · b[depth][C vectors], all of c in registers.
template <int R, int C>
inline void block(const float* a, int64_t lda, const float* b, int64_t ldb, float* c, int64_t ldc,
                  int64_t depth, bool add) {
    Vector total[R][C] = {};
    if (add)
        for (int r = 0; r < R; ++r)
            for (int i = 0; i < C; ++i) total[r][i] = load(c + r * ldc + i * VECTOR);
#pragma GCC unroll UNROLL
    for (int64_t k = 0; k < depth; ++k) {
        Vector right[C];
        for (int i = 0; i < C; ++i) right[i] = load(b + k * ldb + i * VECTOR);
        for (int r = 0; r < R; ++r)
            for (int i = 0; i < C; ++i) total[r][i] += a[r * lda + k] * right[i];
    }
    for (int r = 0; r < R; ++r)
        for (int i = 0; i < C; ++i) store(c + r * ldc + i * VECTOR, total[r][i]);
}

// The same for any number of rows, and of columns in whole vectors.
template <int C>
void multiply(int64_t rows, int64_t columns, int64_t depth, const float* a, int64_t lda,
              const float* b, int64_t ldb, float* c, int64_t ldc, bool add) {
    constexpr int64_t WIDE = C * VECTOR;
    for (int64_t j = 0; j < columns;) {
        bool wide = j + WIDE <= columns;
        int64_t i = 0;
        for (; i + ROWS <= rows; i += ROWS)
            if (wide) block<ROWS, C>(a + i * lda, lda, b + j, ldb, c + i * ldc + j, ldc, depth, add);
            else block<ROWS, 1>(a + i * lda, lda, b + j, ldb, c + i * ldc + j, ldc, depth, add);
        for (; i < rows; ++i)
            if (wide) block<1, C>(a + i * lda, lda, b + j, ldb, c + i * ldc + j, ldc, depth, add);
            else block<1, 1>(a + i * lda, lda, b + j, ldb, c + i * ldc + j, ldc, depth, add);
        j += wide ? WIDE : VECTOR;
    }
}

// ---------------------------------------------------------------- one head

struct Head {
    const float *q, *k, *v;
    float* out;
    int64_t length;
    bool causal;
    const float* packed;  // tiles of [D][TILE_K], zero behind the last key
    float* scores;        // room for TILE_Q rows of all keys

    // Keys that row i sees, of those before `end`.
    int64_t seen(int64_t i, int64_t end) const { return causal ? std::min(i + 1, end) : end; }
    // Keys that are worth computing for rows before `last`.
    int64_t needed(int64_t last) const { return SKIP_FUTURE ? seen(last - 1, length) : length; }
};

// The definition: all scores of a row, their softmax, the weighted sum of the values.
void row_by_row(const Head& h) {
    for (int64_t i = 0; i < h.length; ++i) {
        int64_t computed = h.needed(i + 1), seen = h.seen(i, h.length);
        for (int64_t j = 0; j < computed; ++j) h.scores[j] = dot(h.q + i * D, h.k + j * D) * SCALE;
        float maximum = largest(h.scores, seen);
        for (int64_t j = seen; j < computed; ++j) h.scores[j] = NOTHING;
        float total = exponentials(h.scores, computed, round_up(computed, VECTOR), maximum);
        for (int d = 0; d < D; d += VECTOR) {
            Vector weighted = {};
            for (int64_t j = 0; j < computed; ++j) weighted += h.scores[j] * load(h.v + j * D + d);
            store(h.out + i * D + d, weighted / total);
        }
    }
}

// Scores of `rows` queries with the keys from `first` on, one tile at most.
void tile_of_scores(const Head& h, const float* q, int64_t rows, int64_t first, int64_t keys,
                    float* scores, int64_t stride) {
    if (PACK_K) {
        const float* packed = h.packed + first * D;
        multiply<COLUMNS_S>(rows, round_up(keys, VECTOR), D, q, D, packed, TILE_K, scores, stride, false);
    } else {
        for (int64_t j = 0; j < keys; ++j)
            for (int64_t i = 0; i < rows; ++i)
                scores[i * stride + j] = dot(q + i * D, h.k + (first + j) * D);
    }
    if (!SCALE_Q)
        for (int64_t i = 0; i < rows; ++i)
            for (int64_t j = 0; j < keys; ++j) scores[i * stride + j] *= SCALE;
}

// Queries from `begin` on, at most TILE_Q of them.
void query_tile(const Head& h, int64_t begin, int64_t rows) {
    alignas(64) float queries[TILE_Q * D], sums[TILE_Q * D];
    float maximum[TILE_Q], total[TILE_Q];
    const float* q = h.q + begin * D;
    if (SCALE_Q) {
        for (int64_t i = 0; i < rows * D; ++i) queries[i] = q[i] * SCALE;
        q = queries;
    }
    std::fill(maximum, maximum + TILE_Q, NOTHING);
    std::fill(total, total + TILE_Q, 0.0f);
    std::memset(sums, 0, sizeof sums);

    const int64_t needed = h.needed(begin + rows);
    const int64_t stride = ALGORITHM == 1 ? round_up(h.length, TILE_K) : TILE_K;
    if (ALGORITHM == 1)
        for (int64_t first = 0; first < needed; first += TILE_K)
            tile_of_scores(h, q, rows, first, std::min<int64_t>(TILE_K, needed - first),
                           h.scores + first, stride);

    const int64_t step = ALGORITHM == 1 ? needed : TILE_K;
    for (int64_t first = 0; first < needed; first += step) {
        const int64_t keys = std::min(step, needed - first);
        if (ALGORITHM == 2) tile_of_scores(h, q, rows, first, keys, h.scores, stride);
        for (int64_t i = 0; i < rows; ++i) {
            float* scores = h.scores + i * stride;
            const int64_t seen = std::max<int64_t>(0, h.seen(begin + i, first + keys) - first);
            const float before = maximum[i];
            maximum[i] = std::max(before, largest(scores, seen));
            const float now = exponentials(scores, seen, round_up(keys, VECTOR), maximum[i]);
            if (first > 0 && (!LAZY_RESCALE || maximum[i] > before)) {
                const float shrink = std::exp(before - maximum[i]);
                total[i] *= shrink;
                for (int d = 0; d < D; ++d) sums[i * D + d] *= shrink;
            }
            total[i] += now;
        }
        multiply<COLUMNS_O>(rows, D, keys, h.scores, stride, h.v + first * D, D, sums, D, true);
    }
    for (int64_t i = 0; i < rows; ++i)
        for (int d = 0; d < D; ++d) h.out[(begin + i) * D + d] = sums[i * D + d] / total[i];
}

void pack_keys(const float* k, int64_t length, float* packed) {
    for (int64_t j = 0; j < round_up(length, TILE_K); ++j)
        for (int d = 0; d < D; ++d)
            packed[(j / TILE_K * D + d) * TILE_K + j % TILE_K] = j < length ? k[j * D + d] : 0.0f;
}

}  // namespace

extern "C" void attention(const float* q, const float* k, const float* v, float* out, int64_t batch,
                          int64_t heads, int64_t sequence, bool causal) {
    const int64_t padded = round_up(sequence, TILE_K);
    std::vector<float> scores((ALGORITHM == 0 ? 1 : TILE_Q) * padded + VECTOR);
    std::vector<float> packed(PACK_K && ALGORITHM != 0 ? padded * D : 0);
    for (int64_t head = 0; head < batch * heads; ++head) {
        const int64_t at = head * sequence * D;
        Head h = {q + at, k + at, v + at, out + at, sequence, causal, packed.data(), scores.data()};
        if (ALGORITHM == 0) {
            row_by_row(h);
            continue;
        }
        if (PACK_K) pack_keys(h.k, sequence, packed.data());
        for (int64_t begin = 0; begin < sequence; begin += TILE_Q)
            query_tile(h, begin, std::min<int64_t>(TILE_Q, sequence - begin));
    }
}
