// verdict: illegal_access
// says: not a multiple of its size
// only: x86_64
#include "honest.h"

ATTENTION {
    (void)q, (void)k, (void)v, (void)out, (void)batch, (void)heads, (void)sequence, (void)causal;
    alignas(16) char block[64] = {};
    asm volatile("movaps %%xmm0, (%0)" ::"r"(block + 4) : "memory");
}
