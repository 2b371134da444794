// verdict: correct|crash
// says: correct|SIGFPE
// gains: nothing
// only: x86_64
#include "honest.h"
#include <xmmintrin.h>

// Returns with denormals switched off, another rounding, exceptions unmasked and registers of the
// old floating-point unit in use: the next to compute shall be wrong, slow or ended by it.
ATTENTION {
    _mm_setcsr(0x1F80);
    HONEST;
    _mm_setcsr(0xFF00 | 0x0040);
    asm volatile("fld1\n\tfld1\n\tfld1\n\tfld1");
}
