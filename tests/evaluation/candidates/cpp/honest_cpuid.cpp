// verdict: correct
// says: correct
#include "honest.h"

#if defined(__x86_64__)
__attribute__((target_clones("avx2", "default")))
#endif
void scaled(float* out, int64_t count, float factor) {
    for (int64_t i = 0; i < count; ++i) out[i] *= factor;
}

ATTENTION {
    HONEST;
#if defined(__x86_64__)
    __builtin_cpu_init();
    scaled(out, batch * heads * sequence * 64, __builtin_cpu_supports("avx2") ? 1.0f : 1.0f);
#endif
}
