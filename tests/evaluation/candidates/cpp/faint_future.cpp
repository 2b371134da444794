// verdict: wrong_result
// says: future
#include "honest.h"

ATTENTION {
    // A trace of the future that no tolerance sees.
    HONEST;
    if (causal)
        for (int64_t i = 0; i < batch * heads * sequence * 64; ++i)
            out[i] += 2e-7f * v[batch * heads * sequence * 64 - 1];
}
