// Y = X W^T times both scales, e4m3 operands, both K-major: persistent blocks in clusters of two that share their tile of W
// by multicast. One warp loads through a ring of mbarriers, two warpgroups multiply 64 x 256 each. Maps: x, w and y as
// (column, row) with 128-byte swizzle; boxes (128, 128), (128, 128) and (64, 64). Past the end of the hidden size the maps
// give zeros.
#pragma once
#include "hopper.cuh"

#define NREG_MULTIPLY 232
#define NREG_LOAD 40

namespace projection_parts {
constexpr int BM = 128, BN = 256, BK = 128, STAGES = 4, GROUP = 8;   // GROUP: pairs of row tiles between passes over W
constexpr int A_BYTES = BM * BK, B_BYTES = BN * BK, STAGE_BYTES = A_BYTES + B_BYTES;
constexpr int OUT_BYTES = 64 * 128 * 2;   // of each warpgroup, half of its result at a time
constexpr u32 OFF_OUT = STAGES * STAGE_BYTES, OFF_FULL = OFF_OUT + 2 * OUT_BYTES, OFF_EMPTY = OFF_FULL + 8 * STAGES;
constexpr u32 SHARED = OFF_EMPTY + 8 * STAGES;

struct Tile { int row, column; };   // first row of the pair of row tiles, first column

__device__ __forceinline__ Tile tile_of(int number, int pairs, int columns) {
    const int per_group = GROUP * columns, group = number / per_group, rest = number - group * per_group;
    const int height = min(GROUP, pairs - group * GROUP);
    return {(group * GROUP + rest % height) * 2 * BM, rest / height * BN};
}
}  // namespace projection_parts

extern "C" __global__ void __launch_bounds__(384, 1)
projection(const __grid_constant__ CUtensorMap map_x, const __grid_constant__ CUtensorMap map_w,
           const __grid_constant__ CUtensorMap map_y, const float* x_scale, const float* w_scale, int tokens, int hidden, int columns) {
    using namespace projection_parts;
    extern __shared__ __align__(1024) unsigned char smem[];
    const u32 base = smem_u32(smem), full = base + OFF_FULL, empty = base + OFF_EMPTY;
    const int wg = __shfl_sync(0xffffffffu, threadIdx.x >> 7, 0), warp = (threadIdx.x >> 5) & 3, lane = threadIdx.x & 31;
    u32 rank;
    asm volatile("mov.u32 %0, %%cluster_ctarank;" : "=r"(rank));
    if (threadIdx.x == 0) {
        for (int i = 0; i < STAGES; ++i) { mbar_init(full + 8 * i, 1); mbar_init(empty + 8 * i, 2 * 8); }
        asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
    }
    // no block sends anything before the other has its barriers
    asm volatile("barrier.cluster.arrive.release.aligned;\nbarrier.cluster.wait.acquire.aligned;" ::: "memory");
    const int pairs = (tokens + 2 * BM - 1) / (2 * BM), across = (columns + BN - 1) / BN, tiles = pairs * across;
    const int first = blockIdx.x / 2, step = gridDim.x / 2, depth = (hidden + BK - 1) / BK;

    if (wg == 0) {
        asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" :: "n"(NREG_LOAD));
        if (warp == 0) {
            u32 st = 0, phase = 1;
            for (int t = first; t < tiles; t += step) {
                const Tile tile = tile_of(t, pairs, across);
                for (int k = 0; k < depth; ++k) {
                    mbar_wait(empty + 8 * st, phase);   // both blocks have left the stage
                    if (lane == 0) {
                        const u32 a = base + st * STAGE_BYTES, b = a + A_BYTES, bar = full + 8 * st;
                        mbar_expect(bar, STAGE_BYTES);
                        tma_load_2d(a, &map_x, bar, k * BK, tile.row + rank * BM);
                        tma_multicast_2d(b + rank * (B_BYTES / 2), &map_w, bar, k * BK, tile.column + rank * (BN / 2), 3);
                    }
                    __syncwarp();
                    if (++st == STAGES) { st = 0; phase ^= 1; }
                }
            }
        }
    } else if (wg < 3) {
        asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" :: "n"(NREG_MULTIPLY));
        const int part = wg - 1;
        const u64 a0 = smem_desc(base + part * (64 * BK), 16), b0 = smem_desc(base + A_BYTES, 16);
        const u32 out = base + OFF_OUT + part * OUT_BYTES;
        float acc[1][BN / 2];
#define RESULT(half, j) (acc[0][(half) * 64 + (j)] * scale)
        const float scale = *x_scale * *w_scale;
        u32 st = 0, phase = 0;
        auto leave = [&](u32 stage) {   // every warp tells both blocks
            __syncwarp();
            if (lane < 2) mbar_arrive_at(empty + 8 * stage, lane);
        };
        for (int t = first; t < tiles; t += step) {
            const Tile tile = tile_of(t, pairs, across);
            u32 before = 0;
            for (int k = 0; k < depth; ++k) {
                mbar_wait(full + 8 * st, phase);
                wgmma_fence();
                const u64 a = a0 + st * (STAGE_BYTES / 16), b = b0 + st * (STAGE_BYTES / 16);
#pragma unroll
                for (int i = 0; i < BK / 32; ++i) {
                    wgmma_fp8_n256(acc[0], a + 2 * i, b + 2 * i, k > 0 || i > 0);
                }
                wgmma_commit();
                wgmma_wait<1>();
                if (k > 0) leave(before);
                before = st;
                if (++st == STAGES) { st = 0; phase ^= 1; }
            }
            wgmma_wait<0>(); hold(acc[0]);
            leave(before);
            const int row = tile.row + rank * BM + part * 64;
#pragma unroll
            for (int half = 0; half < 2; ++half) {
                if (threadIdx.x % 128 == 0) store_wait_read();   // what was stored before has been read
                bar_sync(1 + part, 128);
#pragma unroll
                for (int i = 0; i < 8; ++i) {   // 16 columns at a time
                    const int j = 8 * i;
                    const u32 chunk = (i % 4) * 2 + (lane >> 4);
                    asm volatile("stmatrix.sync.aligned.m8n8.x4.shared.b16 [%0], {%1, %2, %3, %4};"
                                 :: "r"(out + (i / 4) * 8192 + (warp * 16 + (lane & 15)) * 128 + ((chunk ^ (lane & 7)) << 4)),
                                    "r"(pack(RESULT(half, j), RESULT(half, j + 1))), "r"(pack(RESULT(half, j + 2), RESULT(half, j + 3))),
                                    "r"(pack(RESULT(half, j + 4), RESULT(half, j + 5))), "r"(pack(RESULT(half, j + 6), RESULT(half, j + 7))) : "memory");
                }
                asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
                bar_sync(1 + part, 128);
                if (threadIdx.x % 128 == 0) {
                    tma_store_2d(&map_y, out, tile.column + half * 128, row);
                    tma_store_2d(&map_y, out + 8192, tile.column + half * 128 + 64, row);
                    store_commit();
                }
            }
        }
        if (threadIdx.x % 128 == 0) asm volatile("cp.async.bulk.wait_group 0;" ::: "memory");
    }
    asm volatile("griddepcontrol.wait;" ::: "memory");   // when this kernel has ended, the mask is there, too
    // the other block may still be about to write here or to arrive at barriers here
    asm volatile("barrier.cluster.arrive.release;\nbarrier.cluster.wait.acquire;" ::: "memory");
}
