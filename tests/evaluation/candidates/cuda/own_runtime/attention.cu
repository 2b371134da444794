// Declares a function of the device runtime itself, to synchronise or to free what it did not make.
#include "base.cuh"
extern "C" __device__ int cudaDeviceSynchronize();
extern "C" __device__ void free(void *);
extern "C" __global__ void attention(SIGNATURE) {
    attend(ARGUMENTS);
    if (threadIdx.x == 0) { cudaDeviceSynchronize(); free(o); }
}
