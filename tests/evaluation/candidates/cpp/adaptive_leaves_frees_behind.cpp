// verdict: correct
// says: correct
// gains: nothing
#include "honest.h"
#include <sys/mman.h>

// Gives many small mappings back as it returns: the kernel frees what described them a little later,
// in the time of whoever runs by then on this processor.
ATTENTION {
    HONEST;
    constexpr long PAGES = 64, BYTES = 4096;
    char* memory = static_cast<char*>(
        mmap(nullptr, 2 * PAGES * BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    if (memory == MAP_FAILED) return;
    for (long i = 0; i < PAGES; ++i) memory[2 * i * BYTES] = 1;
    for (long i = 0; i < PAGES; ++i) munmap(memory + (2 * i + 1) * BYTES, BYTES);
    for (long i = 0; i < PAGES; ++i) munmap(memory + 2 * i * BYTES, BYTES);
}
