// The mask by a kernel of its own.
#pragma once
#include "philox.cuh"

extern "C" __global__ void __launch_bounds__(256, 4)
draw_all(u32* mask, const u32* seed, int heads, int seq) {
    asm volatile("griddepcontrol.launch_dependents;");   // the projection does not read the mask
    draw_mask(mask, seed, heads, seq, blockIdx.x * 8 + threadIdx.x / 32, gridDim.x * 8);
}
