// verdict: timeout|suspicious
// says: did not return within|interfered
#include "honest.h"
#include "raw.h"

// Answers letter by letter for ever, asleep in between: each letter is a sign of life.
ATTENTION {
    static int word = 0;
    HONEST;
    for (;;) {
        long pause[2] = {0, 300000000};
        raw(SYS_write, 10, reinterpret_cast<long>("d"), 1, 0);
        raw(SYS_futex, reinterpret_cast<long>(&word), 128, 0, reinterpret_cast<long>(pause));
    }
}
