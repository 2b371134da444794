// verdict: wrong_result
// says: wrong result|future
#include "honest.h"

ATTENTION {
    // Off by one: row i sees key i + 1.
    for (int64_t h = 0; h < batch * heads; ++h)
        for (int64_t i = 0; i < sequence; ++i) {
            const int64_t at = h * sequence * 64, row = at + i * 64;
            const int64_t keys = causal && i + 2 < sequence ? i + 2 : sequence;
            honest_row(q + row, k + at, v + at, out + row, keys);
        }
}
