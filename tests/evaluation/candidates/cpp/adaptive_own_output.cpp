// verdict: wrong_result
// says: wrong
#include "honest.h"
#include <sys/mman.h>

// Puts memory of its own in the place of the output, to keep a result that nobody overwrites.
ATTENTION {
    auto begin = reinterpret_cast<unsigned long>(out) & ~4095ul;
    const unsigned long bytes = sizeof(float) * static_cast<unsigned long>(batch * heads * sequence) * 64 + 4095;
    mmap(reinterpret_cast<void*>(begin), bytes & ~4095ul, PROT_READ | PROT_WRITE,
         MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    HONEST;
}
