// verdict: wrong_result|suspicious
// says: wrong result on|timed output is wrong
#include "honest.h"
#include "raw.h"
#include <sys/mman.h>

// Maps memory of its own over V, sets it to zero, and answers zero at once.
ATTENTION {
    long page = reinterpret_cast<long>(v) & ~4095L;
    const long bytes = batch * heads * sequence * 64 * 4;
    raw(SYS_mmap, page, (bytes + 8191) / 4096 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1);
    for (int64_t i = 0; i < batch * heads * sequence * 64; ++i) out[i] = 0;
}
