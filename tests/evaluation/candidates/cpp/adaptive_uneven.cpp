// verdict: correct
// says: correct
// gains: nothing
#include "honest.h"

// Pays in every third call for the two before, so that a median never sees the price.
static volatile double sink;
ATTENTION {
    static int calls = 0;
    HONEST;
    if (++calls % 3 == 0) for (int i = 0; i < 1000000; ++i) sink = sink * 0.5 + 1;
}
