#include <algorithm>
#include <cmath>
#include <cstdint>

extern "C" void kernel(const float* x, const float* linear_weight, const float* linear_bias, float* out, int64_t rows) {
    const int64_t features = 128, width = 64;
    for (int64_t r = 0; r < rows; ++r)
        for (int64_t w = 0; w < width; ++w) {
            float sum = linear_bias[w];
            for (int64_t f = 0; f < features; ++f)
                sum += x[r * features + f] * linear_weight[w * features + f];
            out[r * width + w] = std::max(sum, 0.0f);
        }
}
