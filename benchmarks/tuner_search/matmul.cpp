// out[m][n] = a[m][k] · b[k][n] in single precision, one thread.
//
// The first version is three loops. Each line with `tune:` names the values that a constant may
// take; together they reach from there to a blocked product that keeps a block of `out` in
// registers. Every combination computes the same function.

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <vector>

constexpr int BLOCKED = 0;  // tune: 0 1  (three loops, blocks in registers)
constexpr int VECTOR = 4;   // tune: 4 8 16  (floats in a vector)
constexpr int ROWS = 1;     // tune: 1 2 3 4 6 8  (rows that a block keeps in registers)
constexpr int COLUMNS = 1;  // tune: 1 2 3 4  (vectors of a row that a block keeps)
constexpr int DEPTH = 64;   // tune: 32 64 128 256 512  (rows of b that are worked on together)
constexpr int WIDTH = 64;   // tune: 64 128 256 512  (columns of b that are worked on together)
constexpr int PACK_B = 0;   // tune: 0 1  (b as it is, copied in the order in which it is read)
constexpr int UNROLL = 1;   // tune: 1 2 4 8  (steps of the inner loop at a time)

namespace {

typedef float Vector __attribute__((vector_size(4 * VECTOR)));
#pragma GCC diagnostic ignored "-Wpsabi"  // vectors wider than the processor's are split
constexpr int64_t STRIP = COLUMNS * VECTOR;

inline Vector load(const float* from) {
    Vector value;
    std::memcpy(&value, from, sizeof value);
    return value;
}

inline void store(float* to, const Vector& value) { std::memcpy(to, &value, sizeof value); }

// out[R][STRIP] += a[R][depth] · b[depth][STRIP], all of out's block in registers.
template <int R>
inline void block(const float* a, int64_t lda, const float* b, int64_t ldb, float* out, int64_t ldo,
                  int64_t depth) {
    Vector total[R][COLUMNS];
    for (int r = 0; r < R; ++r)
        for (int c = 0; c < COLUMNS; ++c) total[r][c] = load(out + r * ldo + c * VECTOR);
#pragma GCC unroll UNROLL
    for (int64_t k = 0; k < depth; ++k) {
        Vector right[COLUMNS];
        for (int c = 0; c < COLUMNS; ++c) right[c] = load(b + k * ldb + c * VECTOR);
        for (int r = 0; r < R; ++r)
            for (int c = 0; c < COLUMNS; ++c) total[r][c] += a[r * lda + k] * right[c];
    }
    for (int r = 0; r < R; ++r)
        for (int c = 0; c < COLUMNS; ++c) store(out + r * ldo + c * VECTOR, total[r][c]);
}

// Columns that do not fill a strip.
void rest(const float* a, int64_t lda, const float* b, int64_t ldb, float* out, int64_t ldo,
          int64_t rows, int64_t columns, int64_t depth) {
    for (int64_t i = 0; i < rows; ++i)
        for (int64_t k = 0; k < depth; ++k)
            for (int64_t j = 0; j < columns; ++j)
                out[i * ldo + j] += a[i * lda + k] * b[k * ldb + j];
}

void strip(const float* a, int64_t lda, const float* b, int64_t ldb, float* out, int64_t ldo,
           int64_t rows, int64_t depth) {
    int64_t i = 0;
    for (; i + ROWS <= rows; i += ROWS) block<ROWS>(a + i * lda, lda, b, ldb, out + i * ldo, ldo, depth);
    for (; i < rows; ++i) block<1>(a + i * lda, lda, b, ldb, out + i * ldo, ldo, depth);
}

}  // namespace

extern "C" void kernel(const float* a, const float* b, float* out, int64_t m, int64_t k, int64_t n) {
    if (BLOCKED == 0) {
        for (int64_t i = 0; i < m; ++i)
            for (int64_t j = 0; j < n; ++j) {
                float total = 0;
                for (int64_t l = 0; l < k; ++l) total += a[i * k + l] * b[l * n + j];
                out[i * n + j] = total;
            }
        return;
    }
    std::fill(out, out + m * n, 0.0f);
    std::vector<float> packed(PACK_B ? DEPTH * STRIP : 0);
    for (int64_t l = 0; l < k; l += DEPTH) {
        const int64_t depth = std::min<int64_t>(DEPTH, k - l);
        for (int64_t j = 0; j < n; j += WIDTH) {
            const int64_t end = std::min<int64_t>(n, j + WIDTH);
            int64_t c = j;
            for (; c + STRIP <= end; c += STRIP) {
                const float* from = b + l * n + c;
                if (PACK_B)
                    for (int64_t p = 0; p < depth; ++p)
                        std::memcpy(packed.data() + p * STRIP, from + p * n, STRIP * sizeof(float));
                strip(a + l, k, PACK_B ? packed.data() : from, PACK_B ? STRIP : n, out + c, n, m, depth);
            }
            rest(a + l, k, b + l * n + c, n, out + c, n, m, end - c, depth);
        }
    }
}
