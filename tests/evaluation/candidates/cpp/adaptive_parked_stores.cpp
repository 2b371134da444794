// verdict: correct
// says: correct
// gains: nothing
// only: x86_64
#include "honest.h"
#include <emmintrin.h>
#include <vector>

// Leaves stores on their way to memory as it returns: whoever comes next waits for them.
ATTENTION {
    static std::vector<char> far(8 << 20);
    static size_t place = 0;
    HONEST;
    for (int i = 0; i < 2048; ++i, place = (place + 4096 + 64) % (far.size() - 64))
        _mm_stream_si32(reinterpret_cast<int*>(far.data() + place), i);
}
