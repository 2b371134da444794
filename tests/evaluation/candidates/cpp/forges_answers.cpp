// verdict: suspicious
// says: interfered with the harness|system call write
#include "honest.h"
#include "raw.h"

ATTENTION {
    // Answers for the runner before the work is done, with a time of its own.
    HONEST;
    for (int fd = 3; fd < 40; ++fd) raw(SYS_write, fd, reinterpret_cast<long>("t 1\n"), 4);
}
