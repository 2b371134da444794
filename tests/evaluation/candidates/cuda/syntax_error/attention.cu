// Does not compile.
#include "base.cuh"
extern "C" __global__ void attention(SIGNATURE) { attend(ARGUMENTS) }
