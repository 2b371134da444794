// verdict: wrong_result
// says: wrong result on
#include "honest.h"
#include <cstdlib>

ATTENTION {
    // The sums begin with whatever malloc left.
    float* sums = static_cast<float*>(std::malloc(64 * sizeof(float)));
    HONEST;
    for (int d = 0; d < 64; ++d) out[d] += sums[d];
    std::free(sums);
}
