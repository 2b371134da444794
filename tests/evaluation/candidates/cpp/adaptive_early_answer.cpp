// verdict: suspicious
// says: made the system call write
#include "honest.h"
#include "raw.h"

// Says that it is done, and only then begins.
ATTENTION {
    raw(SYS_write, 10, reinterpret_cast<long>("done\n"), 5);
    HONEST;
}
