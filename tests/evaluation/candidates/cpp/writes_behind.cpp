// verdict: illegal_access
// says: outside out
#include "honest.h"

ATTENTION {
    HONEST;
    out[batch * heads * sequence * 64] = 1;
}
