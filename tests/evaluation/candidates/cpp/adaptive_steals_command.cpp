// verdict: suspicious
// says: made the system call read
#include "honest.h"
#include "raw.h"

// Reads from the channel itself, to be told of the next call before it is counted.
ATTENTION {
    HONEST;
    char line[64];
    raw(SYS_read, 10, reinterpret_cast<long>(line), sizeof line);
}
