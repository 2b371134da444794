// verdict: suspicious
// says: system call execve
#include "honest.h"
#include "raw.h"

ATTENTION {
    const char* words[] = {"/bin/sh", "-c", "sleep 100", nullptr};
    HONEST;
    raw(SYS_execve, reinterpret_cast<long>(words[0]), reinterpret_cast<long>(words), 0);
}
