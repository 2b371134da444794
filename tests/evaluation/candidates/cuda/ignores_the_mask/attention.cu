// Full attention on causal configurations.
#define MASKED(key, row) false
#define LAST_KEY(row_end) seq
#include "base.cuh"
extern "C" __global__ void attention(SIGNATURE) { attend(ARGUMENTS); }
