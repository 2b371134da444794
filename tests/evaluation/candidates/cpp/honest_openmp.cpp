// verdict: correct
// says: correct
#include "honest.h"

ATTENTION {
    float* o = out;
#pragma omp parallel for
    for (int64_t i = 0; i < batch * heads * sequence * 64; ++i) o[i] = 0;
    HONEST;
}
