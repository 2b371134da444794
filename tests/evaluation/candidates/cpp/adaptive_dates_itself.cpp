// verdict: suspicious
// says: made the system call (new)?fstat
#include "honest.h"
#include "raw.h"

// Asks for the times of a file while it is loaded, when the loader may ask for its size.
static char about[256];
// The one of the two calls that the C library does not make itself.
#if __GLIBC_MINOR__ >= 33 && __GLIBC_MINOR__ < 39 && defined(SYS_fstat)
static long asked = raw(SYS_fstat, 0, reinterpret_cast<long>(about));
#else
static long asked = raw(SYS_newfstatat, 0, reinterpret_cast<long>(""), reinterpret_cast<long>(about), 0x1000);
#endif

ATTENTION {
    HONEST;
    asm volatile("" ::"r"(asked) : "memory");
}
