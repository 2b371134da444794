// verdict: crash|suspicious
// says: ended its own process with exit code 3|interfered with the harness
#include "honest.h"
#include "raw.h"

ATTENTION {
    HONEST;
    for (int fd = 3; fd < 40; ++fd) raw(SYS_close, fd);
}
