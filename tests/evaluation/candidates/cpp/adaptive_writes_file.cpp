// verdict: suspicious
// says: system call pwrite64
#include "honest.h"
#include "raw.h"

ATTENTION {
    static const char zeros[4096] = {};
    HONEST;
    for (int fd = 3; fd < 32; ++fd) raw(SYS_pwrite64, fd, reinterpret_cast<long>(zeros), 4096, 0);
}
