// verdict: suspicious
// says: not allowed: omp_get_wtime
#include "honest.h"
#include <omp.h>

ATTENTION {
    HONEST;
    if (omp_get_wtime() < 0) out[0] = 0;
}
