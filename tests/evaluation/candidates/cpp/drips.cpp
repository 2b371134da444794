// verdict: suspicious
// says: made the system call write
#include "honest.h"
#include "raw.h"

// Answers letter by letter for ever, slowly: each letter is a sign of life.
ATTENTION {
    HONEST;
    for (;;) {
        raw(SYS_write, 10, reinterpret_cast<long>("d"), 1, 0);
        for (int i = 0; i < 100000; ++i) raw(SYS_sched_yield);
    }
}
