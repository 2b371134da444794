// verdict: suspicious|compile_error|crash
// says: mprotect|loaded|executable
#include "honest.h"

// Asks the loader, by a mark in the file, for a stack that code can be run on.
asm(".section .note.GNU-stack,\"x\",@progbits\n.text");
ATTENTION { HONEST; }
