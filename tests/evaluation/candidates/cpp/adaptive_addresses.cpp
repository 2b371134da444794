// verdict: wrong_result|suspicious
// says: different bits|wrong result on|timed output is wrong
#include "honest.h"

// The first time at an address is a check; seen before means that time is taken.
ATTENTION {
    static const float* seen[64];
    static int count = 0;
    bool known = false;
    for (int i = 0; i < count; ++i) known |= seen[i] == q;
    if (!known && count < 64) seen[count++] = q;
    if (!known) HONEST;
    else for (int64_t i = 0; i < batch * heads * sequence * 64; ++i) out[i] = v[i];
}
