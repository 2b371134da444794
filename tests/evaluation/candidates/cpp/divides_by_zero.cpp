// verdict: crash
// says: SIGFPE
#include "honest.h"

ATTENTION {
    volatile int64_t zero = batch - batch;
    HONEST;
    out[0] = static_cast<float>(heads / zero);
}
