// verdict: suspicious
// says: started a thread
#include "honest.h"

ATTENTION {
    HONEST;
#pragma omp parallel num_threads(4)
    out[0] += 0;
}
