// verdict: suspicious
// says: made the system call mremap
#include "honest.h"
#include "raw.h"

// Moves its own code to where its caller's is.
ATTENTION {
    HONEST;
    long caller = reinterpret_cast<long>(__builtin_return_address(0)) & -4096L;
    static const auto mine = reinterpret_cast<long>(&honest) & -4096L;
    raw(SYS_mremap, mine, 4096, 4096, 3, caller);
}
