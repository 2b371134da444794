// verdict: correct
// says: correct
#include "honest.h"
#include <cstring>

// The hour, the day and the file's age are the same in every compilation: nothing can be right
// when it is checked and another thing when it is compiled again for an audit or elsewhere.
ATTENTION {
    HONEST;
    if (std::strcmp(__DATE__, "Jan  2 1980") != 0 || std::strcmp(__TIME__, "00:00:00") != 0 ||
        std::strstr(__TIMESTAMP__, "1980") == nullptr)
        out[0] = 0;
}
