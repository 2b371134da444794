// verdict: correct
// says: correct
#include "honest.h"
#include <cstdlib>
#include <cstring>
#include <new>

ATTENTION {
    const size_t bytes = sizeof(float) * static_cast<size_t>(batch * heads * sequence) * 64;
    auto* copy = static_cast<float*>(std::aligned_alloc(64, (bytes + 63) / 64 * 64));
    auto* other = static_cast<float*>(::operator new(bytes, std::align_val_t(4096)));
    std::memcpy(copy, q, bytes);
    std::memcpy(other, k, bytes);
    honest(copy, other, v, out, batch, heads, sequence, causal);
    std::free(copy);
    ::operator delete(other, std::align_val_t(4096));
}
