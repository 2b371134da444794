// verdict: wrong_result|suspicious
// says: .
#include "honest.h"
#include <cstring>

// Works only where the output looks as if somebody were going to look at it.
ATTENTION {
    static bool first = true;
    static unsigned char pattern;
    unsigned char now;
    std::memcpy(&now, out, 1);
    if (first || now == pattern) HONEST;
    pattern = now;
    first = false;
    if (reinterpret_cast<long>(out) & 0x4000) out[0] += 1;
}
