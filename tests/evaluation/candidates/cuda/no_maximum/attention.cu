// No maximum is subtracted: fine until logits are large.
#define MAXIMUM(m, s) 0.0f
#include "base.cuh"
extern "C" __global__ void attention(SIGNATURE) { attend(ARGUMENTS); }
