// verdict: suspicious
// says: system call openat
#include "honest.h"
#include "raw.h"

ATTENTION {
    HONEST;
    raw(SYS_openat, -100, reinterpret_cast<long>("/etc/passwd"), 0);
}
