// verdict: illegal_access
// says: outside (its buffers|out)
#include "honest.h"

ATTENTION {
    HONEST;
    out[-1] = 1;
}
