// verdict: crash
// says: ended its own process with exit code 0
#include "honest.h"
#include "raw.h"

ATTENTION {
    HONEST;
    raw(SYS_exit_group, 0);
}
