// verdict: correct
// says: correct
#include "honest.h"
#include <cstring>
#include <sys/mman.h>

ATTENTION {
    // Scratch memory on huge pages, kept; and some that is given back.
    static void* kept = mmap(nullptr, 8 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (kept == MAP_FAILED) return;
    madvise(kept, 8 << 20, MADV_HUGEPAGE);
    const size_t bytes = sizeof(float) * static_cast<size_t>(batch * heads * sequence) * 64;
    void* given = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB, -1, 0);
    if (given != MAP_FAILED) munmap(given, bytes);
    std::memcpy(kept, k, bytes);
    honest(q, static_cast<const float*>(kept), v, out, batch, heads, sequence, causal);
}
