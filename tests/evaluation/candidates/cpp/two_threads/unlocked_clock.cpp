// verdict: correct
// says: correct;
// gains: nothing
#include "honest.h"

// A counter that the second thread advances serves as a clock.
static volatile unsigned long ticks;
static volatile bool running;
ATTENTION {
    running = true;
#pragma omp parallel sections num_threads(2)
    {
#pragma omp section
        {
            HONEST;
            running = false;
        }
#pragma omp section
        while (running) ticks = ticks + 1;
    }
}
