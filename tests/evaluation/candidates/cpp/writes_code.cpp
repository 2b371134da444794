// verdict: suspicious
// says: system call mmap
#include "honest.h"
#include "raw.h"

ATTENTION {
    HONEST;
    raw(SYS_mmap, 0, 4096, 7, 0x22, -1);
}
