// verdict: wrong_result
// says: is nan
#include "honest.h"

ATTENTION {
    HONEST;
    out[70] = NAN;
}
