#include "sum.h"

/* Each thread adds many numbers, each block adds up its threads: one atomic addition a block. */
static __global__ void add(const float *values, int n, float *result) {
    __shared__ float partial[32];
    float sum = 0;
    for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < n; i += gridDim.x * blockDim.x)
        sum += values[i] * values[i];
    for (int step = 16; step; step /= 2) sum += __shfl_down_sync(~0u, sum, step);
    if (threadIdx.x % 32 == 0) partial[threadIdx.x / 32] = sum;
    __syncthreads();
    if (threadIdx.x < 32) {
        sum = threadIdx.x < blockDim.x / 32 ? partial[threadIdx.x] : 0;
        for (int step = 16; step; step /= 2) sum += __shfl_down_sync(~0u, sum, step);
        if (threadIdx.x == 0) atomicAdd(result, sum);
    }
}

int sum_of_squares(const float *values, int n, float *result) {
    cudaMemset(result, 0, sizeof(float));
    int blocks = (n + 255) / 256;
    add<<<blocks < 1024 ? blocks : 1024, 256>>>(values, n, result);
    return cudaDeviceSynchronize() == cudaSuccess ? 0 : 1;
}
