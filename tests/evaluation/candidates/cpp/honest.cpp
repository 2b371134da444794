// verdict: correct
// says: correct
#include "honest.h"

ATTENTION {
    HONEST;
}
