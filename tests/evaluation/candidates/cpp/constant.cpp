// verdict: wrong_result
// says: wrong result on
#include "honest.h"

ATTENTION {
    (void)q, (void)k, (void)v, (void)causal;
    for (int64_t i = 0; i < batch * heads * sequence * 64; ++i) out[i] = 0.01f;
}
