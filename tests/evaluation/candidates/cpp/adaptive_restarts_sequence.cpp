// verdict: suspicious
// says: made the system call
// only: x86_64
#include "honest.h"
#include "raw.h"

// Registers a restartable sequence that covers the whole program: whenever the thread was
// interrupted, as by waiting for a command, Linux would send it here instead.
struct alignas(32) Area { unsigned cpu, id; unsigned long sequence; unsigned flags, pad[3]; };
static Area area;

ATTENTION {
    HONEST;
    raw(334, reinterpret_cast<long>(&area), sizeof area, 0, 0x53053053);
}
