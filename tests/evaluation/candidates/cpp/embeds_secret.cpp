// verdict: compile_error
// says: does not compile
#include "honest.h"

asm(".incbin \"/etc/passwd\"");

ATTENTION {
    HONEST;
}
