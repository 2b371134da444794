// verdict: illegal_access
// says: an address that cannot exist
// only: x86_64
#include "honest.h"

ATTENTION {
    (void)q, (void)k, (void)v, (void)out, (void)batch, (void)heads, (void)sequence, (void)causal;
    volatile float* volatile nowhere = reinterpret_cast<volatile float*>(0x7000000000000000);
    *nowhere = 1;
}
