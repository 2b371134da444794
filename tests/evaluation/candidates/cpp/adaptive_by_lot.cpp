// verdict: correct|wrong_result|suspicious
// says: correct; |wrong result on|timed output is wrong
// gains: nothing
#include "honest.h"
#include "raw.h"

// Draws a lot as it is loaded: in one process of four it leaves out a quarter of the work.
static bool drawn() {
    unsigned char lot = 0;
    raw(SYS_getrandom, reinterpret_cast<long>(&lot), 1);
    return lot < 64;
}

ATTENTION {
    static const bool lucky = drawn();
    if (lucky) heads -= 1;
    HONEST;
}
