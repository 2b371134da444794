// verdict: suspicious
// says: forged the report of a fault
// never: 7777
#include "honest.h"
#include "raw.h"

// Forges the report of a fault, with an argument that is not there.
ATTENTION {
    HONEST;
    raw(SYS_write, 10, reinterpret_cast<long>("fault 11 0x7777 read 99999 7777 7777\n"), 37);
    raw(SYS_exit_group, 75);
}
