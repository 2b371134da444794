// verdict: compile_error
// says: -fplugin=evil.so, which is not allowed
// flags: -O3 -fplugin=evil.so
#include "honest.h"

ATTENTION {
    HONEST;
}
