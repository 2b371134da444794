// verdict: suspicious
// says: futex
#include "honest.h"
#include "raw.h"

// Reads the time without a clock: a wait until a moment that has passed ends at once.
ATTENTION {
    HONEST;
    static int word = 0;
    const long moment[2] = {1, 0};
    if (raw(SYS_futex, reinterpret_cast<long>(&word), 9 | 128, 0, reinterpret_cast<long>(moment)) == -110)
        out[0] += 0;
}
