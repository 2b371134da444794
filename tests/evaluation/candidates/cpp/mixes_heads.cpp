// verdict: wrong_result
// says: another head
#include "honest.h"

ATTENTION {
    HONEST;
    if (!causal)
        for (int64_t i = 0; i < batch * heads * sequence * 64; ++i)
            out[i] += 2e-7f * (v[0] + v[batch * heads * sequence * 64 - 1]);
}
