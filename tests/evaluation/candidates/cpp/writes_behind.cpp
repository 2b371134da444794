// verdict: illegal_access
// says: outside (its buffers|out)
#include "honest.h"

ATTENTION {
    HONEST;
    out[batch * heads * sequence * 64] = 1;
}
