#include <algorithm>
#include <cmath>
#include <cstdint>

extern "C" void kernel(const float* x, const float* y, float* out, int64_t rows, int64_t columns) {
    for (int64_t i = 0; i < rows * columns; ++i) out[i] = 2.5f * x[i] + y[i];
}
