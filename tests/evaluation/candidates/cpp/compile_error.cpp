// verdict: compile_error
// says: does not compile.*undeclared|not declared
#include "honest.h"

ATTENTION {
    undeclared_function();
}
