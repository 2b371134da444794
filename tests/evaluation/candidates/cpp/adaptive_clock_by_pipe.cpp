// verdict: suspicious
// says: fstat
#include "honest.h"
#include "raw.h"

// Reads the time from the moment at which its own output was last written to.
ATTENTION {
    HONEST;
    static long facts[64];
    raw(SYS_write, 1, reinterpret_cast<long>("x"), 1);
    raw(SYS_fstat, 1, reinterpret_cast<long>(facts));
}
