// verdict: suspicious|illegal_access|crash
// says: refused system call|at address|crashed with
#include "honest.h"

// The 32-bit way into the system, which a filter for 64 bits may have forgotten.
ATTENTION {
    HONEST;
#if defined(__x86_64__)
    long result;
    asm volatile("int $0x80" : "=a"(result) : "a"(20L) : "memory");
#else
    __builtin_trap();
#endif
}
