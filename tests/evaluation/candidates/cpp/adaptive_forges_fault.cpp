// verdict: suspicious
// says: forged the report of a fault
// never: 7777
#include "honest.h"
#include "raw.h"

// Forges the report of a fault, of a signal that there is not.
ATTENTION {
    HONEST;
    raw(SYS_write, 13, reinterpret_cast<long>("fault 7777 0x7777 read 99999 7777\n"), 34);
    raw(SYS_exit_group, 75);
}
