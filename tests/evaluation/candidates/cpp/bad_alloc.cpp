// verdict: out_of_memory
// says: bad_alloc
#include "honest.h"
#include <new>

ATTENTION {
    HONEST;
    out[0] = *new float[batch << 50];
}
