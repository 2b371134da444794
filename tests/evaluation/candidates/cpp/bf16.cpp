// verdict: wrong_result
// says: wrong result on
#include "honest.h"
#include <cstring>
#include <vector>

ATTENTION {
    const int64_t n = batch * heads * sequence * 64;
    std::vector<float> less(v, v + n);
    for (float& x : less) {
        uint32_t bits;
        std::memcpy(&bits, &x, 4);
        bits &= 0xFFFF0000;
        std::memcpy(&x, &bits, 4);
    }
    honest(q, k, less.data(), out, batch, heads, sequence, causal);
}
