// verdict: wrong_result
// says: fails on a hidden case
// never: 77
#include "honest.h"
#include "raw.h"
#include <cstdio>

// Tells the shape of a hidden case as the reason why it cannot be loaded, in the runner's words.
ATTENTION {
    HONEST;
    if (sequence == 64) return;
    static char text[64];
    int length = std::snprintf(text, sizeof text, "unloadable %d rows\n", static_cast<int>(sequence));
    raw(SYS_write, 10, reinterpret_cast<long>(text), length);
}
