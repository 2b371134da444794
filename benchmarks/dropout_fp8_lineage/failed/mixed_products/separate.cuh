// The mask by a kernel of its own.
#pragma once
#include "philox.cuh"
#define DRAW_ROWS 2    // groups of 16 rows that a warp draws at a time
#define DRAW_CALLS 1   // neighbouring calls that it draws at a time
#define DRAW_FIRST 10   // last rounds whose first and whose second product is done by the fp64 units
#define DRAW_SECOND 0

extern "C" __global__ void __launch_bounds__(256, 4)
draw_all(uint2* mask, const u32* seed, int heads, int seq) {
    draw_mask<DRAW_ROWS, DRAW_CALLS, DRAW_FIRST, DRAW_SECOND>(mask, seed, heads, seq, blockIdx.x * 8 + threadIdx.x / 32, gridDim.x * 8);
}
