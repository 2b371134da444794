// verdict: correct
// says: correct
#include "honest.h"
#include <cstring>

ATTENTION {
    float tile[512 * 1024];
    const size_t count = static_cast<size_t>(batch * heads * sequence) * 64;
    std::memcpy(tile, v, count * sizeof(float));
    honest(q, k, tile, out, batch, heads, sequence, causal);
}
