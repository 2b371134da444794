// Only the last 256 keys of a causal row are read.
#define SKIPPED(key) (CAUSAL && (int)blockIdx.x * 32 - (key) > 256)
#include "base.cuh"
extern "C" __global__ void attention(SIGNATURE) { attend(ARGUMENTS); }
