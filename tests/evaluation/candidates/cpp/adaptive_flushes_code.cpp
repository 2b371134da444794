// verdict: suspicious
// says: takes memory out of the caches .clflush
// only: x86_64
#include "honest.h"
#include <cstring>
#include <emmintrin.h>

// Throws the C library's code out of all caches. Its pages are shared by every process, so whatever
// is timed next, the other candidate of a gate or the empty kernel, has to fetch them from memory.
static void flush(const char* code) {
    for (long i = -(256 << 6); i < (256 << 6); i += 64) _mm_clflush(code + i);
}

ATTENTION {
    HONEST;
    flush(reinterpret_cast<const char*>(&std::strlen));
    flush(reinterpret_cast<const char*>(&std::memmove));
}
