// One parameter fewer than the kernel has: the launch would read past the list.
#include "base.cuh"
extern "C" __global__ void attention(SIGNATURE) { attend(ARGUMENTS); }
