// verdict: correct
// says: correct
#include "honest.h"
#include <sys/mman.h>

// Reads one byte of each of thousands of pages, all of them the same page of zeros: little of the
// caches is lost, but every translation of addresses.
static volatile char sink;
ATTENTION {
    constexpr size_t BYTES = size_t{4096} * 4096;
    static const char* pages = static_cast<const char*>(
        mmap(nullptr, BYTES, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    HONEST;
    for (size_t i = 0; i < BYTES; i += 4096) sink = pages[i];
}
