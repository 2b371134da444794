// verdict: illegal_access
// says: outside k
#include "honest.h"

ATTENTION {
    volatile float beyond = k[batch * heads * sequence * 64];
    (void)beyond;
    HONEST;
}
