// verdict: wrong_result
// says: wrong result on
#include "honest.h"

ATTENTION {
    (void)causal;
    honest(q, k, v, out, batch, heads, sequence, false);
}
