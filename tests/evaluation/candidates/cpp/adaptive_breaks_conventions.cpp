// verdict: correct|crash|illegal_access|suspicious
// says: correct; |ended its own process|ended by SIG|crashed with|at address|interfered with the harness|outside its arguments
// only: x86_64
#include "honest.h"

// Returns with the direction of string instructions turned round, and with registers
// changed that its caller counts on: that is the candidate's fault, never the harness's.
ATTENTION {
    HONEST;
    asm volatile("xor %%ebx, %%ebx\n\txor %%r12d, %%r12d\n\tmov $-1, %%r13\n\tmov $-1, %%r14\n\t"
                 "std" ::: "memory");
}
