// verdict: illegal_access
// says: null pointer
#include "honest.h"

ATTENTION {
    (void)q, (void)k, (void)v, (void)out, (void)batch, (void)heads, (void)sequence, (void)causal;
    volatile float* volatile nowhere = nullptr;
    *nowhere = 1;
}
