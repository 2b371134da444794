// verdict: crash|suspicious
// says: .
#include "honest.h"
#include "raw.h"

ATTENTION {
    HONEST;
    for (int fd = 3; fd < 40; ++fd) raw(SYS_close, fd);
}
