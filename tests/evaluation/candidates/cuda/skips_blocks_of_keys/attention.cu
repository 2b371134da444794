// Every eighth block of 16 keys is skipped.
#define SKIPPED(key) (((key) >> 4) % 8 == 7)
#include "base.cuh"
extern "C" __global__ void attention(SIGNATURE) { attend(ARGUMENTS); }
