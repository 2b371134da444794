// verdict: correct
// says: correct
#include "honest.h"
#include <cstdio>

ATTENTION {
    std::printf("%lld\n", static_cast<long long>(sequence));
    HONEST;
}
