// verdict: suspicious
// says: interfered with the harness|system call write
#include "honest.h"
#include "raw.h"
#include <cstdlib>
#include <cstring>

// Stays in control after it returned: answers the harness itself, and burns time it hopes nobody
// counts while the next command is on its way.
ATTENTION {
    static int calls = 0;
    HONEST;
    if (++calls < 20) return;
    for (int fd = 3; fd < 40; ++fd) raw(SYS_write, fd, reinterpret_cast<long>("t 900000\n"), 9);
    for (volatile int i = 0; i < 3000000; i = i + 1) {}
    char line[256];
    for (int fd = 3; fd < 40; ++fd)
        if (raw(SYS_read, fd, reinterpret_cast<long>(line), 256) > 0) break;
}
