// verdict: crash
// says: printed more than
#include "honest.h"
#include <cstdio>

ATTENTION {
    HONEST;
    for (int i = 0; i < (1 << 24); ++i) std::puts("0123456789012345678901234567890123456789012345678901234567890");
}
