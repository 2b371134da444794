// verdict: wrong_result
// says: never written
#include "honest.h"

ATTENTION {
    (void)q, (void)k, (void)v, (void)out, (void)batch, (void)heads, (void)sequence, (void)causal;
}
