// verdict: timeout
// says: did not return
#include "honest.h"

ATTENTION {
    HONEST;
    for (volatile int i = 0;; i = i + 1) {}
}
