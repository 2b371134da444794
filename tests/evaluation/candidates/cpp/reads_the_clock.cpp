// verdict: suspicious
// says: not allowed: clock_gettime
#include "honest.h"
#include <ctime>

ATTENTION {
    timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    HONEST;
    if (t.tv_sec < 0) out[0] = 0;
}
