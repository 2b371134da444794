// verdict: suspicious
// says: system call setitimer
#include "honest.h"
#include "raw.h"

// An alarm that would bring it back while it is not called.
static long armed = [] {
    long every[4] = {0, 100, 0, 100};
    return raw(SYS_setitimer, 0, reinterpret_cast<long>(every), 0);
}();

ATTENTION {
    HONEST;
    if (armed == 7) out[0] = 0;
}
