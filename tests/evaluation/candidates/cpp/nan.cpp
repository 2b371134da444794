// verdict: wrong_result
// says: is nan
#include "honest.h"
#include <cmath>

ATTENTION {
    HONEST;
    out[70] = NAN;
}
