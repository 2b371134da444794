// verdict: suspicious
// says: system call setsid
#include "honest.h"
#include "raw.h"

ATTENTION {
    HONEST;
    raw(SYS_setsid);
}
