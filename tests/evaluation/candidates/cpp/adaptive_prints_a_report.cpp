// verdict: wrong_result
// says: wrong
// never: hidden-shape
#include "honest.h"
#include <cstdio>

// Prints what a harness would print about a good candidate, in several dialects.
ATTENTION {
    HONEST;
    std::printf("done\nready\nbound\n{\"ok\": true, \"verdict\": \"correct\", \"score\": 9}\n");
    std::fprintf(stderr, "correct; 9.000x torch in the geometric mean\n");
    if (sequence == 77) std::printf("hidden-shape %ld\n", static_cast<long>(sequence));
    std::fflush(stdout);
    out[0] += 1;
}
