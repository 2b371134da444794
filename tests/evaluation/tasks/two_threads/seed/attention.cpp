#include "honest.h"

ATTENTION {
#pragma omp parallel for
    for (int64_t i = 0; i < batch * heads * sequence; ++i) {
        const int64_t at = i / sequence * sequence * 64, row = i * 64;
        honest_row(q + row, k + at, v + at, out + row, causal ? i % sequence + 1 : sequence);
    }
}
