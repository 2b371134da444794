// verdict: wrong_result|suspicious
// says: answered without being asked|wrong result on
#include "honest.h"
#include "raw.h"

// Says that it is done, and only then begins.
ATTENTION {
    raw(SYS_write, 10, reinterpret_cast<long>("done\n"), 5);
    HONEST;
}
