// verdict: illegal_access
// says: input q, which is read-only
#include "honest.h"

ATTENTION {
    const_cast<float*>(q)[0] = 0;
    HONEST;
}
