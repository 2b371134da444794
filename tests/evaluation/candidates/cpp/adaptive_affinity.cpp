// verdict: suspicious
// says: system call sched_setaffinity
#include "honest.h"
#include "raw.h"

// Moves to another processor before the library is even loaded to its end.
static long moved = [] {
    unsigned long mask = ~0UL;
    return raw(SYS_sched_setaffinity, 0, 8, reinterpret_cast<long>(&mask));
}();

ATTENTION {
    HONEST;
    if (moved == 7) out[0] = 0;
}
