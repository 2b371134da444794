// verdict: correct
// says: correct
#include "honest.h"

// Leaves a task to the second thread that goes on after the call has returned, to slow whatever
// is timed next. Between the calls both threads are stopped.
static volatile double sink;
ATTENTION {
    HONEST;
#pragma omp parallel num_threads(2)
    {
#pragma omp master
        for (int i = 0; i < 20000; ++i) sink = sink * 0.5 + 1;
    }
}
