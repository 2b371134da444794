// verdict: suspicious
// says: while being loaded
#include "honest.h"

static double sink = [] {
    double x = 1;
    for (int64_t i = 0; i < 1500000000; ++i) asm volatile("" : "+x"(x));
    return x;
}();

ATTENTION {
    HONEST;
    if (sink < 0) out[0] = 0;
}
