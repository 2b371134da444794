// verdict: suspicious
// says: system call (clock_)?nanosleep
#include "honest.h"
#include "raw.h"

ATTENTION {
    HONEST;
    long time[2] = {1000, 0};
    raw(SYS_nanosleep, reinterpret_cast<long>(time));
}
