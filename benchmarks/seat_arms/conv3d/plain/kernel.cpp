// 3-D convolution, 16 channels in, 24 out, a cube of 3: the definition, as loops.

#include "task.h"

extern "C" void kernel(const float* x, const float* conv_weight, const float* conv_bias, float* out,
                       int64_t EDGE) {
    const int64_t n = EDGE - 2;
    for (int64_t o = 0; o < 24; ++o)
        for (int64_t d = 0; d < n; ++d)
            for (int64_t h = 0; h < n; ++h)
                for (int64_t w = 0; w < n; ++w) {
                    float sum = conv_bias[o];
                    for (int64_t i = 0; i < 16; ++i)
                        for (int64_t a = 0; a < 3; ++a)
                            for (int64_t b = 0; b < 3; ++b)
                                for (int64_t c = 0; c < 3; ++c)
                                    sum += conv_weight[(((o * 16 + i) * 3 + a) * 3 + b) * 3 + c] *
                                           x[((i * EDGE + d + a) * EDGE + h + b) * EDGE + w + c];
                    out[((o * n + d) * n + h) * n + w] = sum;
                }
}
