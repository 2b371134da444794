// verdict: compile_error
// says: does not compile
#include "honest.h"
#include "/etc/passwd"

ATTENTION {
    HONEST;
}
