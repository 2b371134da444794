// verdict: suspicious
// says: system call mmap|system call mprotect
#include "honest.h"
#include "raw.h"
#include <sys/mman.h>

// Replaces code of the program that runs it, from a constructor.
static long mapped = raw(SYS_mmap, 0, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1);

ATTENTION {
    HONEST;
    if (mapped == 7) out[0] = 0;
}
