// A cooperative grid of more blocks than the device holds at once.
#include "base.cuh"
extern "C" __global__ void attention(SIGNATURE) { attend(ARGUMENTS); }
