// verdict: out_of_memory
// says: memory
#include "honest.h"
#include <cstdlib>
#include <cstring>

ATTENTION {
    HONEST;
    for (;;) {
        char* room = static_cast<char*>(std::malloc(64 << 20));
        std::memset(room, 1, 64 << 20);
        out[0] += room[5] - 1;
    }
}
