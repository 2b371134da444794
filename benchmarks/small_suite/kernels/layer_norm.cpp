#include <algorithm>
#include <cmath>
#include <cstdint>

extern "C" void kernel(const float* x, const float* norm_weight, const float* norm_bias, float* out, int64_t rows) {
    const int64_t columns = 256;
    for (int64_t r = 0; r < rows; ++r) {
        const float* row = x + r * columns;
        double mean = 0, square = 0;
        for (int64_t c = 0; c < columns; ++c) mean += row[c];
        mean /= columns;
        for (int64_t c = 0; c < columns; ++c) square += (row[c] - mean) * (row[c] - mean);
        const double scale = 1.0 / std::sqrt(square / columns + 1e-5);
        for (int64_t c = 0; c < columns; ++c)
            out[r * columns + c] = float((row[c] - mean) * scale) * norm_weight[c] + norm_bias[c];
    }
}
