// Overruns the call stack.
#include "base.cuh"
__device__ __noinline__ int deeper(volatile int *x, int n) {
    volatile int local[64];
    local[n % 64] = *x + n;
    return deeper(x, n + 1) + local[(n + 1) % 64];
}
extern "C" __global__ void attention(SIGNATURE) {
    attend(ARGUMENTS);
    volatile int x = seq;
    if (threadIdx.x == 0) o[0] = __float2bfloat16((float)deeper(&x, 0));
}
