// verdict: compile_error
// says: no extern "C" function attention
#include "honest.h"

void attention_by_another_name() {}
