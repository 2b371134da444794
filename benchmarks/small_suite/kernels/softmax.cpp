#include <algorithm>
#include <cmath>
#include <cstdint>

extern "C" void kernel(const float* x, float* out, int64_t rows, int64_t columns) {
    for (int64_t r = 0; r < rows; ++r) {
        const float* row = x + r * columns;
        float* to = out + r * columns;
        const float top = *std::max_element(row, row + columns);
        float sum = 0;
        for (int64_t c = 0; c < columns; ++c) sum += to[c] = std::exp(row[c] - top);
        for (int64_t c = 0; c < columns; ++c) to[c] /= sum;
    }
}
