#include <algorithm>
#include <cmath>
#include <cstdint>

extern "C" void kernel(const float* a, const float* b, float* out, int64_t m, int64_t k, int64_t n) {
    std::fill(out, out + m * n, 0.0f);
    for (int64_t i = 0; i < m; ++i)
        for (int64_t l = 0; l < k; ++l)
            for (int64_t j = 0; j < n; ++j) out[i * n + j] += a[i * k + l] * b[l * n + j];
}
