// verdict: suspicious
// says: while it was loaded
// only: x86_64
#include "honest.h"

static double sink = [] {
    double x = 1;
    // Each turn waits for the one before: four cycles or so, on a fast processor too.
    for (int64_t i = 0; i < 1200000000; ++i) {
        asm volatile("" : "+x"(x));
        x = x * 0.5 + 1.0;
    }
    return x;
}();

ATTENTION {
    HONEST;
    if (sink < 0) out[0] = 0;
}
