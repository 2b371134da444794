// verdict: crash
// says: SIGABRT
#include "honest.h"
#include <cstdlib>

ATTENTION {
    HONEST;
    std::abort();
}
