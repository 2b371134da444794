// verdict: wrong_result
// says: wrong
#include "honest.h"
#include <cstring>

// Rounds one row in 32 to bfloat16: in the mean of the whole output that is nearly nothing.
ATTENTION {
    HONEST;
    for (int64_t row = 5; row < batch * heads * sequence; row += 32)
        for (int d = 0; d < 64; ++d) {
            unsigned bits;
            std::memcpy(&bits, out + row * 64 + d, 4);
            bits &= 0xFFFF0000u;
            std::memcpy(out + row * 64 + d, &bits, 4);
        }
}
