#include <algorithm>
#include <cmath>
#include <cstdint>

extern "C" void kernel(const float* x, const float* conv_weight, const float* conv_bias, float* out, int64_t batch, int64_t length) {
    const int64_t channels = 8;
    for (int64_t b = 0; b < batch; ++b)
        for (int64_t o = 0; o < channels; ++o)
            for (int64_t t = 0; t < length; ++t) {
                float sum = conv_bias[o];
                for (int64_t i = 0; i < channels; ++i)
                    for (int64_t k = 0; k < 3; ++k) {
                        const int64_t at = t + k - 1;
                        if (at >= 0 && at < length)
                            sum += x[(b * channels + i) * length + at] *
                                   conv_weight[(o * channels + i) * 3 + k];
                    }
                out[(b * channels + o) * length + t] = sum;
            }
}
