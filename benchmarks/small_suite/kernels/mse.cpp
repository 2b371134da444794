#include <algorithm>
#include <cmath>
#include <cstdint>

extern "C" void kernel(const float* x, const float* y, float* out, int64_t rows, int64_t columns) {
    double sum = 0;
    for (int64_t i = 0; i < rows * columns; ++i) sum += double(x[i] - y[i]) * (x[i] - y[i]);
    *out = float(sum / double(rows * columns));
}
