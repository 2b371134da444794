// verdict: suspicious
// says: started a thread|system call (fork|clone)
#include "honest.h"
#include "raw.h"

__attribute__((constructor)) static void early() {
    if (raw(SYS_clone, 17) == 0) for (;;) raw(SYS_setsid);
}

ATTENTION {
    HONEST;
}
