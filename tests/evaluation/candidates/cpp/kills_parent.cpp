// verdict: suspicious
// says: system call kill
#include "honest.h"
#include "raw.h"

ATTENTION {
    HONEST;
    raw(SYS_kill, 1, 9);
    raw(SYS_kill, -1, 9);
}
