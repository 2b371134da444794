// verdict: wrong_result
// says: fails on a hidden case
// never: 77|4d
#include "honest.h"
#include "raw.h"

ATTENTION {
    HONEST;
    if (sequence != 64) raw(SYS_exit_group, sequence);
}
