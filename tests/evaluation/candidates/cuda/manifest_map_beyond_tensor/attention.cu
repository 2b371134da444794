// A tensor map whose view runs past the end of the tensor.
#include "base.cuh"
extern "C" __global__ void attention(const __grid_constant__ CUtensorMap map, SIGNATURE) { attend(ARGUMENTS); }
