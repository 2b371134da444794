// verdict: suspicious
// says: futex
#include "honest.h"
#include "raw.h"

// Sleeps in every call, for less than a call may take: the processor's time does not show it.
ATTENTION {
    static int word = 0;
    long pause[2] = {0, 300000000};
    HONEST;
    raw(SYS_futex, reinterpret_cast<long>(&word), 128, 0, reinterpret_cast<long>(pause));
}
