// verdict: correct
// says: correct
#include "honest.h"
#include <vector>

ATTENTION {
    std::vector<float> copy(q, q + batch * heads * sequence * 64);
    honest(copy.data(), k, v, out, batch, heads, sequence, causal);
}
