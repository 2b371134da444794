// verdict: suspicious
// says: not allowed: dlopen
#include "honest.h"
#include <dlfcn.h>

ATTENTION {
    HONEST;
    if (dlopen("libtorch_cpu.so", RTLD_NOW) != nullptr) out[0] = 0;
}
