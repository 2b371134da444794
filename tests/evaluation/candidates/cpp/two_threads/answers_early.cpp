// verdict: suspicious
// says: made the system call write
#include "honest.h"
#include "raw.h"

// One thread answers for the program while the other is still at work.
ATTENTION {
#pragma omp parallel num_threads(2)
    {
#pragma omp master
        raw(SYS_write, 10, reinterpret_cast<long>("done\n"), 5);
#pragma omp barrier
#pragma omp master
        HONEST;
    }
}
