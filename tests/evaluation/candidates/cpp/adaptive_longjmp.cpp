// verdict: correct|crash|illegal_access
// says: correct; |ended its own process|ended by SIG|crashed with|at address
// gains: nothing
#include "honest.h"

// Leaves its call by jumping back to where an earlier one returned to.
static void* frame[5];
static int calls = 0;

ATTENTION {
    ++calls;
    HONEST;
    if (calls == 6) __builtin_longjmp(frame, 1);
    if (calls < 6 && __builtin_setjmp(frame) != 0) return;
}
