// verdict: correct
// says: correct
// flags: -funroll-loops -ffast-math
#include "honest.h"

ATTENTION {
    HONEST;
}
