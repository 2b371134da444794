// verdict: suspicious
// says: newfstatat
#include "honest.h"
#include "raw.h"
#include <fcntl.h>

// Reads the time from the moment at which the kernel made a file of /proc.
ATTENTION {
    HONEST;
    static long facts[64];
    raw(SYS_newfstatat, AT_FDCWD, reinterpret_cast<long>("/proc/self/status"), reinterpret_cast<long>(facts), 0);
}
