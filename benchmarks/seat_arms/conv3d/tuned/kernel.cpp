// 3-D convolution, 16 channels in, 24 out, a cube of 3.
//
// The first version is the definition. Each line with `tune:` names the values that a constant may
// take; together they reach from there to a kernel that keeps a block of outputs in registers.
// Every combination computes the same function.

#include "task.h"

#include <cstring>
#include <type_traits>

constexpr int ALGORITHM = 0;  // tune: 0 1 2  (loops, vectors along the width, vectors of channels)
constexpr int VECTOR = 1;     // tune: 1 4 8 16  (floats in a vector)
constexpr int CHANNELS = 1;   // tune: 1 2 3 4 6 8 12  (output channels of a block; 1: vectors of them)
constexpr int COLUMNS = 1;    // tune: 1 2 3 4 6 8  (vectors along the width of a block; 2: pixels)
constexpr int PACK = 0;       // tune: 0 1  (weights as they are, channels innermost)
constexpr int ORDER = 0;      // tune: 0 1  (channels outside of rows, rows outside of channels)
constexpr int UNROLL = 1;     // tune: 1 3 9  (products of the cube at a time)

namespace {

constexpr int IN = 16, OUT = 24, CUBE = 27;
typedef float Floats __attribute__((vector_size(4 * VECTOR)));
using Vector = std::conditional_t<VECTOR == 1, float, Floats>;
#pragma GCC diagnostic ignored "-Wpsabi"  // vectors wider than the processor's are split

inline Vector load(const float* from) {
    Vector value;
    std::memcpy(&value, from, sizeof value);
    return value;
}

inline void store(float* to, const Vector& value) { std::memcpy(to, &value, sizeof value); }

inline Vector same(float value) { return value + Vector{}; }

alignas(64) float packed[IN * CUBE * OUT];

inline float weight(const float* w, int o, int k) {  // k: place among the IN * CUBE of a channel
    return PACK ? packed[k * OUT + o] : w[o * IN * CUBE + k];
}

float one(const float* x, const float* w, float bias, int64_t e, int o, int64_t d, int64_t h,
          int64_t column) {
    float sum = bias;
    for (int i = 0; i < IN; ++i)
        for (int a = 0; a < 3; ++a)
            for (int b = 0; b < 3; ++b)
                for (int c = 0; c < 3; ++c)
                    sum += w[o * IN * CUBE + i * CUBE + a * 9 + b * 3 + c] *
                           x[((i * e + d + a) * e + h + b) * e + column + c];
    return sum;
}

// Outputs of `CHANNELS` channels and COLUMNS * VECTOR columns.
void along_width(const float* x, const float* w, const float* bias, float* out, int64_t e, int o,
                 int64_t d, int64_t h, int64_t column) {
    const int64_t n = e - 2;
    Vector sum[CHANNELS][COLUMNS];
    for (int p = 0; p < CHANNELS; ++p)
        for (int q = 0; q < COLUMNS; ++q) sum[p][q] = same(bias[o + p]);
    for (int i = 0; i < IN; ++i)
        for (int a = 0; a < 3; ++a) {
            const float* plane = x + ((i * e + d + a) * e + h) * e + column;
#pragma GCC unroll UNROLL
            for (int bc = 0; bc < 9; ++bc) {
                const float* row = plane + bc / 3 * e + bc % 3;
                Vector values[COLUMNS];
                for (int q = 0; q < COLUMNS; ++q) values[q] = load(row + q * VECTOR);
                for (int p = 0; p < CHANNELS; ++p) {
                    const Vector factor = same(weight(w, o + p, i * CUBE + a * 9 + bc));
                    for (int q = 0; q < COLUMNS; ++q) sum[p][q] += factor * values[q];
                }
            }
        }
    for (int p = 0; p < CHANNELS; ++p)
        for (int q = 0; q < COLUMNS; ++q)
            store(out + (((o + p) * n + d) * n + h) * n + column + q * VECTOR, sum[p][q]);
}

// Outputs of CHANNELS vectors of channels and COLUMNS columns.
void of_channels(const float* x, const float* bias, float* out, int64_t e, int o, int64_t d,
                 int64_t h, int64_t column) {
    const int64_t n = e - 2;
    Vector sum[COLUMNS][CHANNELS];
    for (int q = 0; q < COLUMNS; ++q)
        for (int p = 0; p < CHANNELS; ++p) sum[q][p] = load(bias + o + p * VECTOR);
    for (int i = 0; i < IN; ++i)
        for (int a = 0; a < 3; ++a) {
            const float* plane = x + ((i * e + d + a) * e + h) * e + column;
#pragma GCC unroll UNROLL
            for (int bc = 0; bc < 9; ++bc) {
                const float* row = plane + bc / 3 * e + bc % 3;
                const float* factors = packed + (i * CUBE + a * 9 + bc) * OUT + o;
                for (int p = 0; p < CHANNELS; ++p) {
                    const Vector factor = load(factors + p * VECTOR);
                    for (int q = 0; q < COLUMNS; ++q) sum[q][p] += factor * same(row[q]);
                }
            }
        }
    for (int q = 0; q < COLUMNS; ++q)
        for (int p = 0; p < CHANNELS; ++p) {
            float values[VECTOR];
            std::memcpy(values, &sum[q][p], sizeof values);
            for (int r = 0; r < VECTOR; ++r)
                out[(((o + p * VECTOR + r) * n + d) * n + h) * n + column + q] = values[r];
        }
}

}  // namespace

extern "C" void kernel(const float* x, const float* conv_weight, const float* conv_bias, float* out,
                       int64_t EDGE) {
    const int64_t n = EDGE - 2;
    constexpr bool LANES = ALGORITHM == 2;
    constexpr int BLOCK = ALGORITHM == 0 ? 1 : LANES ? CHANNELS * VECTOR : CHANNELS;
    constexpr int WIDTH = ALGORITHM == 0 ? 1 : LANES ? COLUMNS : COLUMNS * VECTOR;
    if (PACK || LANES)
        for (int o = 0; o < OUT; ++o)
            for (int k = 0; k < IN * CUBE; ++k)
                packed[k * OUT + o] = conv_weight[o * IN * CUBE + k];
    const auto row = [&](int o, int64_t d, int64_t h) {
        int64_t w = 0;
        if (ALGORITHM != 0 && o + BLOCK <= OUT)
            for (; w + WIDTH <= n; w += WIDTH) {
                if (LANES)
                    of_channels(x, conv_bias, out, EDGE, o, d, h, w);
                else
                    along_width(x, conv_weight, conv_bias, out, EDGE, o, d, h, w);
            }
        for (int p = o; p < o + BLOCK && p < OUT; ++p)
            for (int64_t rest = w; rest < n; ++rest)
                out[((p * n + d) * n + h) * n + rest] =
                    one(x, conv_weight, conv_bias[p], EDGE, p, d, h, rest);
    };
    if (ORDER == 0) {
        for (int o = 0; o < OUT; o += BLOCK)
            for (int64_t d = 0; d < n; ++d)
                for (int64_t h = 0; h < n; ++h) row(o, d, h);
    } else {
        for (int64_t d = 0; d < n; ++d)
            for (int64_t h = 0; h < n; ++h)
                for (int o = 0; o < OUT; o += BLOCK) row(o, d, h);
    }
}
