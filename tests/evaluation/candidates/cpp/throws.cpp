// verdict: crash
// says: SIGABRT
#include "honest.h"

ATTENTION {
    HONEST;
    throw 1;
}
