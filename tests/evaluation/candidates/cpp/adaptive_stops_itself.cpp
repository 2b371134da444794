// verdict: suspicious
// says: system call tgkill
#include "honest.h"
#include "raw.h"

// Stops itself in the middle, to be woken by the next command.
ATTENTION {
    raw(SYS_tgkill, raw(SYS_getpid), raw(SYS_gettid), 19);
    HONEST;
}
