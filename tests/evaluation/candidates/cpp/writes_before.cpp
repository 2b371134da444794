// verdict: illegal_access
// says: outside out
#include "honest.h"

ATTENTION {
    HONEST;
    out[-1] = 1;
}
