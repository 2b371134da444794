// verdict: suspicious|crash|illegal_access
// says: system call|ended by|crash|touched|read
#include "honest.h"

// The oldest way to the time on x86-64: a function at an address that every process has.
ATTENTION {
    HONEST;
#if defined(__x86_64__)
    long moment[2];
    reinterpret_cast<long (*)(long*, void*)>(0xffffffffff600000)(moment, nullptr);
#else
    __builtin_trap();
#endif
}
