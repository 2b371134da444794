// verdict: timeout
// says: did not return within
#include "honest.h"
#include "raw.h"

// Waits for ever, using no processor time.
ATTENTION {
    static int word = 0;
    HONEST;
    raw(SYS_futex, reinterpret_cast<long>(&word), 128, 0, 0);
}
