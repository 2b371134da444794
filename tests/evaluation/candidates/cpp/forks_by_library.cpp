// verdict: suspicious
// says: not allowed: fork
#include "honest.h"
#include <unistd.h>

ATTENTION {
    HONEST;
    if (fork() == 0) for (;;) {}
}
