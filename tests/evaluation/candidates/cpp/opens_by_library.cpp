// verdict: suspicious
// says: not allowed: fopen
#include "honest.h"
#include <cstdio>

ATTENTION {
    HONEST;
    if (std::fopen("/etc/passwd", "r") == nullptr) out[0] = 0;
}
