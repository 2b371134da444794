// Weighs keys behind the last one: what is read there is not a number.
#define LAST_KEY(row_end) (CAUSAL ? min(seq, (row_end)) : seq + 1)
#include "base.cuh"
extern "C" __global__ void attention(SIGNATURE) { attend(ARGUMENTS); }
