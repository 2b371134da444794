// verdict: wrong_result
// says: out is wrong
#include "honest.h"

ATTENTION {
    (void)causal;
    honest(q, k, v, out, batch, heads, sequence, false);
}
