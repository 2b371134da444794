// 1024 threads of a kernel compiled for 128 registers and more each.
#include "base.cuh"
extern "C" __global__ void __launch_bounds__(128) attention(SIGNATURE) {
    if (threadIdx.x < 128) attend(ARGUMENTS);
}
