// verdict: wrong_result|suspicious
// says: .
#include "honest.h"
#include "raw.h"

// Says that it is done, and only then begins.
ATTENTION {
    raw(SYS_write, 10, reinterpret_cast<long>("done\n"), 5);
    HONEST;
}
