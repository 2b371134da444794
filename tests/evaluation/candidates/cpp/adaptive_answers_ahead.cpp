// verdict: suspicious
// says: made the system call write
#include "honest.h"
#include "raw.h"

// Leaves answers to later calls in the channel.
ATTENTION {
    static int calls = 0;
    HONEST;
    if (++calls == 3) raw(SYS_write, 10, reinterpret_cast<long>("done\ndone\ndone\n"), 15);
}
