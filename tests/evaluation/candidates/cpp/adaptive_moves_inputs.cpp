// verdict: correct
// says: correct
// gains: nothing
#include "honest.h"
#include <sys/mman.h>

// Moves the mapping of an input away and puts a page of its own there, for the next call to find.
ATTENTION {
    HONEST;
    auto begin = reinterpret_cast<unsigned long>(k) & ~4095ul;
    mremap(reinterpret_cast<void*>(begin), 4096, 4096, MREMAP_MAYMOVE);
}
