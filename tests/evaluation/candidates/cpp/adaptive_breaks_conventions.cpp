// verdict: crash|illegal_access|suspicious
// says: ended its own process|ended by SIG|crashed with|at address|interfered with the harness
// only: x86_64
#include "honest.h"

// Returns with the direction of string instructions turned round, which the next memset of its
// caller goes wrong by: that is the candidate's fault, never the harness's.
ATTENTION {
    HONEST;
    asm volatile("xor %%ebx, %%ebx\n\txor %%r12d, %%r12d\n\tmov $-1, %%r13\n\tmov $-1, %%r14\n\t"
                 "std" ::: "memory");
}
