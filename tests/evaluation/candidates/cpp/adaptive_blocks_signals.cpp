// verdict: suspicious
// says: system call timer_create
#include "honest.h"
#include "raw.h"

// Blocks every signal, so that no report of a forbidden call could interrupt it, then makes one.
ATTENTION {
    unsigned long all = ~0UL;
    raw(SYS_rt_sigprocmask, 0, reinterpret_cast<long>(&all), 0, 8);
    HONEST;
    raw(SYS_timer_create, 1, 0, 0);
}
