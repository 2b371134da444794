// verdict: suspicious
// says: started a thread|system call (fork|clone)
#include "honest.h"
#include "raw.h"

ATTENTION {
    for (;;) raw(SYS_clone, 17);
}
