// Clusters of five do not fit into grids of powers of two.
#include "base.cuh"
extern "C" __global__ void attention(SIGNATURE) { attend(ARGUMENTS); }
