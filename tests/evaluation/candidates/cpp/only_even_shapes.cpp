// verdict: wrong_result
// says: fails on a hidden case
#include "honest.h"

ATTENTION {
    // Whole tiles of sixteen only.
    honest(q, k, v, out, batch, heads, sequence, causal);
    for (int64_t h = 0; h < batch * heads; ++h)
        for (int64_t i = sequence / 16 * 16; i < sequence; ++i)
            for (int d = 0; d < 64; ++d) out[(h * sequence + i) * 64 + d] = 0;
}
