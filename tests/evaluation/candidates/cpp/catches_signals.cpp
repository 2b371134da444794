// verdict: suspicious
// says: system call rt_sigaction
#include "honest.h"
#include "raw.h"

ATTENTION {
    HONEST;
    raw(SYS_rt_sigaction, 11, 0, 0, 8);
}
