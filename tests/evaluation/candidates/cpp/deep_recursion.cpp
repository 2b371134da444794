// verdict: illegal_access
// says: not mapped
#include "honest.h"

static float deeper(float x, int n) {
    volatile float room[4096];
    room[n % 4096] = x;
    return n > 0 ? deeper(x, n + 1) + room[1] : x;
}

ATTENTION {
    HONEST;
    out[0] = deeper(out[0], 1);
}
