// Logits are clamped to a range that plain inputs never leave.
#define SCORE(s) fminf(fmaxf(s, -8.0f), 8.0f)
#include "base.cuh"
extern "C" __global__ void attention(SIGNATURE) { attend(ARGUMENTS); }
