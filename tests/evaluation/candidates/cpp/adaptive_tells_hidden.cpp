// verdict: wrong_result
// says: fails on a hidden case
// never: 77|0x4d|1e00
#include "honest.h"
#include <cstdio>

// Tells the shape of a hidden case in every way there is: print, address, message.
ATTENTION {
    HONEST;
    if (sequence == 64) return;
    std::printf("the hidden shape is %d of %d\n", static_cast<int>(sequence), static_cast<int>(heads));
    std::fflush(stdout);
    *reinterpret_cast<volatile char*>(0x7700000000 + sequence) = 1;
}
