// verdict: suspicious|crash
// says: system call|ended by|refused
#include "honest.h"
#include "raw.h"

// The same call by its number in the table of x32 programs.
ATTENTION {
    HONEST;
    raw(0x40000000 + SYS_getpid);
    raw(0x40000000 + 228, 1, reinterpret_cast<long>(out));
}
