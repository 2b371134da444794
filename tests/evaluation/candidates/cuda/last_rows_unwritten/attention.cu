// The last 32 rows of every sequence are left out.

#include "base.cuh"
extern "C" __global__ void attention(SIGNATURE) { if (blockIdx.x + 1 < gridDim.x) attend(ARGUMENTS); }
