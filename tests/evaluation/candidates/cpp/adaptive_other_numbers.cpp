// verdict: suspicious
// says: system call
#include "honest.h"
#include "raw.h"

// The same calls under their numbers of the x32 kind.
ATTENTION {
    HONEST;
    raw(0x40000000 + SYS_openat, -100, reinterpret_cast<long>("/proc/self/maps"), 0);
}
