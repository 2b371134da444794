// A box wider than its swizzle.
#include "base.cuh"
extern "C" __global__ void attention(const __grid_constant__ CUtensorMap map, SIGNATURE) { attend(ARGUMENTS); }
