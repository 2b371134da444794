// verdict: crash
// says: SIGKILL
#include "honest.h"
#include "raw.h"

ATTENTION {
    HONEST;
    raw(SYS_tgkill, raw(SYS_getpid), raw(SYS_gettid), 9);
}
