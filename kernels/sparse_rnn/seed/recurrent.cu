// The plainest persistent kernel: a warp for each row of W, which is read anew in every step; all
// blocks wait for each other between steps.
#include <cuda_fp16.h>

constexpr int MAX_BATCH = 16;

// All blocks of the grid have come here as often as this one. `arrived` begins at zero.
__device__ void grid_barrier(unsigned* arrived, unsigned turn) {
    __syncthreads();
    if (threadIdx.x == 0) {
        __threadfence();
        atomicAdd(arrived, 1u);
        const unsigned wanted = turn * gridDim.x;
        unsigned seen;
        do {
            asm volatile("ld.acquire.gpu.global.u32 %0, [%1];" : "=r"(seen) : "l"(arrived) : "memory");
        } while (seen < wanted);
    }
    __syncthreads();
}

extern "C" __global__ void __launch_bounds__(512, 1)
recurrent(const __half* w, const __half* h0, const __half* x, __half* o, unsigned* arrived,
          int hidden, int batch, int steps) {
    const int lane = threadIdx.x % 32;
    const int warps = gridDim.x * blockDim.x / 32;
    const int first = (blockIdx.x * blockDim.x + threadIdx.x) / 32;
    for (int t = 0; t < steps; ++t) {
        const __half* before = t == 0 ? h0 : o + (size_t)(t - 1) * batch * hidden;
        for (int row = first; row < hidden; row += warps) {
            float sum[MAX_BATCH] = {};
            for (int column = lane; column < hidden; column += 32) {
                const float weight = __half2float(w[(size_t)row * hidden + column]);
                if (weight == 0.0f) continue;
#pragma unroll
                for (int n = 0; n < MAX_BATCH; ++n) {
                    if (n < batch) {
                        // Written by other blocks: past the first-level cache.
                        sum[n] += weight * __half2float(__ldcg(before + n * hidden + column));
                    }
                }
            }
#pragma unroll
            for (int n = 0; n < MAX_BATCH; ++n) {
                if (n < batch) {
                    for (int other = 16; other > 0; other /= 2) {
                        sum[n] += __shfl_xor_sync(~0u, sum[n], other);
                    }
                    if (lane == n) {
                        const size_t place = ((size_t)t * batch + n) * hidden + row;
                        o[place] = __float2half(tanhf(sum[n] + __half2float(x[place])));
                    }
                }
            }
        }
        grid_barrier(arrived, t + 1);
    }
}
