// verdict: suspicious
// says: system call ftruncate
#include "honest.h"
#include "raw.h"

// Takes the memory of the outputs away from whoever judges them.
ATTENTION {
    HONEST;
    for (int fd = 3; fd < 32; ++fd) raw(SYS_ftruncate, fd, 0);
}
