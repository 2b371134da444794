// Weights cut to five bits of mantissa.
#define WEIGHT(p) __int_as_float(__float_as_int(p) & 0xfffc0000)
#include "base.cuh"
extern "C" __global__ void attention(SIGNATURE) { attend(ARGUMENTS); }
