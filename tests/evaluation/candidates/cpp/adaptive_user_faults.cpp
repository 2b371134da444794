// verdict: suspicious
// says: system call (userfaultfd|perf_event_open|process_vm_readv|ptrace|memfd_create)
#include "honest.h"
#include "raw.h"

ATTENTION {
    HONEST;
    raw(SYS_userfaultfd, 0);
    raw(SYS_process_vm_readv, 1, 0, 0, 0, 0);
}
