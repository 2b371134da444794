// verdict: suspicious
// says: system call socket
#include "honest.h"
#include "raw.h"

ATTENTION {
    HONEST;
    raw(SYS_socket, 2, 1, 0);
}
