// verdict: correct
// says: correct
#include "honest.h"
#include <vector>

static thread_local std::vector<float> scratch;

ATTENTION {
    scratch.assign(q, q + batch * heads * sequence * 64);
    honest(scratch.data(), k, v, out, batch, heads, sequence, causal);
}
