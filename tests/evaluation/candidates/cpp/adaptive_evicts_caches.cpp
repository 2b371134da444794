// verdict: correct
// says: correct
// gains: nothing
#include "honest.h"
#include <vector>

// Empties the caches after its own work, so that whatever is timed next is slower.
ATTENTION {
    static std::vector<char> big(16 << 20);
    HONEST;
    for (std::size_t i = 0; i < big.size(); i += 64) big[i] = static_cast<char>(big[i] + 1);
}
