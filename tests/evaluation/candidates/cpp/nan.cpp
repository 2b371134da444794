// verdict: wrong_result
// says: NaN
#include "honest.h"

ATTENTION {
    HONEST;
    out[70] = NAN;
}
