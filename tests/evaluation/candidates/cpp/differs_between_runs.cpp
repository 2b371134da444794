// verdict: wrong_result
// says: give different bits
#include "honest.h"

ATTENTION {
    // Within every tolerance, but not the same twice.
    static int calls = 0;
    HONEST;
    out[5] += static_cast<float>(++calls) * 1e-7f;
}
