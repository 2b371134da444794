// verdict: suspicious
// says: system call openat
#include "honest.h"
#include "raw.h"
#include <fcntl.h>

// Code that the loader itself runs while it resolves symbols, before any constructor.
static void plain_scale(float*, int64_t) {}
extern "C" {
static void (*resolve_scale())(float*, int64_t) {
    raw(SYS_openat, AT_FDCWD, reinterpret_cast<long>("/proc/self/maps"), O_RDONLY);
    return plain_scale;
}
}
void scale(float*, int64_t) __attribute__((ifunc("resolve_scale")));

ATTENTION {
    HONEST;
    scale(out, sequence);
}
