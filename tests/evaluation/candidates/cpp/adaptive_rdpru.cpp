// verdict: suspicious|crash
// says: read a clock|SIGILL
#include "honest.h"

// The processor's other counters.
ATTENTION {
    HONEST;
#if defined(__x86_64__)
    unsigned low, high;
    asm volatile(".byte 0x0f, 0x01, 0xf9" : "=a"(low), "=d"(high) : : "rcx");
    if (low == high) out[0] += 0;
#else
    __builtin_trap();
#endif
}
