// Values rounded to fp8.
#include <cuda_fp8.h>
#define VALUE(x) float(__nv_fp8_e4m3(x))
#include "base.cuh"
extern "C" __global__ void attention(SIGNATURE) { attend(ARGUMENTS); }
