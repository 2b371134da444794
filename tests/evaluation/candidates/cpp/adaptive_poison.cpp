// verdict: wrong_result
// says: never written|different bits
#include "honest.h"
#include <cstring>

// Works only where the output looks as it did before its first call, when it was surely looked at.
ATTENTION {
    static bool first = true;
    static unsigned pattern;
    unsigned now;
    std::memcpy(&now, out, sizeof now);
    if (first || now == pattern) HONEST;
    if (first) pattern = now;
    first = false;
}
