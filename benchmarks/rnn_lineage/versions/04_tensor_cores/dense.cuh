// Dense weights in registers, products on tensor cores, for matrices that fit.
//
// A block owns 16 * N_TILES rows of W, and each of its warps a slice of their columns, which it
// holds in registers as the left operand of mma.m16n8k16 for the whole run. In a step a warp waits
// for its slice of h_{t-1} only, which it reads from global memory straight into the layout of the
// right operand (its columns are the sequences of the batch), multiplies, and leaves partial sums in
// shared memory. After one block-wide barrier a few warps add these up, apply tanh and publish.
//
// Exchange buffer of a step: [hidden / 32][batch][32], so that 16 bytes are what one lane needs for
// two products: four pairs of columns, in an order that W follows.
#pragma once
#include "exchange.cuh"

__device__ __forceinline__ void mma(float (&c)[4], const unsigned (&a)[4], unsigned b0, unsigned b1) {
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 "
                 "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
                 : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

// N_TILES: tiles of 16 rows a block. N_SLICE: blocks of 32 columns a warp. N_GROUPS: groups of 8
// sequences (the last may be half empty).
template <int N_WARPS, int N_TILES, int N_SLICE, int N_GROUPS>
__device__ __forceinline__ void dense(const __half* __restrict__ w, const __half* h0,
                                      const __half* __restrict__ x, __half* o, __half* exchange,
                                      int hidden, int batch, int steps) {
    constexpr int ROWS = 16 * N_TILES;
    constexpr int PITCH = ROWS + 4;  // floats; keeps the partial sums of a warp in different banks
    extern __shared__ __align__(16) float partial[];  // [2][N_WARPS][8 * N_GROUPS][PITCH]
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    const int pair = lane % 4, eighth = lane / 4;
    const int first_row = blockIdx.x * ROWS;
    const int blocks = hidden / 32;
    const int first = warp * N_SLICE;

    unsigned a[N_TILES][2 * N_SLICE][4];
#pragma unroll
    for (int m = 0; m < N_TILES; ++m) {
#pragma unroll
        for (int j = 0; j < N_SLICE; ++j) {
            const int row = first_row + 16 * m + eighth;
            uint4 upper = {}, lower = {};
            if (first + j < blocks) {
                const __half* from = w + (size_t)row * hidden + 32 * (first + j) + 8 * pair;
                if (row < hidden) upper = *reinterpret_cast<const uint4*>(from);
                if (row + 8 < hidden) {
                    lower = *reinterpret_cast<const uint4*>(from + (size_t)8 * hidden);
                }
            }
            a[m][2 * j][0] = upper.x, a[m][2 * j][1] = lower.x;
            a[m][2 * j][2] = upper.y, a[m][2 * j][3] = lower.y;
            a[m][2 * j + 1][0] = upper.z, a[m][2 * j + 1][1] = lower.z;
            a[m][2 * j + 1][2] = upper.w, a[m][2 * j + 1][3] = lower.w;
        }
    }

    // The last sums are those of two rows of one sequence a thread.
    const int row_pair = 2 * (threadIdx.x % (ROWS / 2)), sequence = threadIdx.x / (ROWS / 2);
    const int row = first_row + row_pair;
    const bool last = sequence < batch && row < hidden;
    const size_t state = (size_t)batch * hidden;
    __half2 input = {};
    if (last) input = *reinterpret_cast<const __half2*>(x + (size_t)sequence * hidden + row);

    for (int t = 0; t < steps; ++t) {
        float* sums = partial + (t & 1) * N_WARPS * 8 * N_GROUPS * PITCH;
#pragma unroll
        for (int g = 0; g < N_GROUPS; ++g) {
            const int n = 8 * g + eighth;
            uint4 h[N_SLICE];
#pragma unroll
            for (int j = 0; j < N_SLICE; ++j) h[j] = uint4{};
            if (n < batch) {
                if (t == 0) {
#pragma unroll
                    for (int j = 0; j < N_SLICE; ++j) {
                        if (first + j < blocks) {
                            h[j] = *reinterpret_cast<const uint4*>(
                                h0 + (size_t)n * hidden + 32 * (first + j) + 8 * pair);
                        }
                    }
                } else {
                    const __half* from = exchange + (t - 1) * state
                        + (size_t)first * 32 * batch + 32 * n + 8 * pair;
                    bool all;
                    do {
                        all = true;
#pragma unroll
                        for (int j = 0; j < N_SLICE; ++j) {
                            if (first + j < blocks) h[j] = peek(from + (size_t)j * 32 * batch);
                        }
#pragma unroll
                        for (int j = 0; j < N_SLICE; ++j) {
                            if (first + j < blocks) all &= is_there(h[j]);
                        }
                    } while (!all);
                }
            }
            __syncwarp();
            float c[N_TILES][2][4] = {};  // two chains of products, to hide their latency
#pragma unroll
            for (int j = 0; j < N_SLICE; ++j) {
#pragma unroll
                for (int m = 0; m < N_TILES; ++m) {
                    mma(c[m][0], a[m][2 * j], h[j].x, h[j].y);
                    mma(c[m][1], a[m][2 * j + 1], h[j].z, h[j].w);
                }
            }
            float* mine = sums + (warp * 8 * N_GROUPS + 8 * g + 2 * pair) * PITCH + eighth;
            if (8 * g + 2 * pair < batch) {
#pragma unroll
                for (int m = 0; m < N_TILES; ++m) {
                    mine[16 * m] = c[m][0][0] + c[m][1][0];
                    mine[16 * m + PITCH] = c[m][0][1] + c[m][1][1];
                    mine[16 * m + 8] = c[m][0][2] + c[m][1][2];
                    mine[16 * m + 8 + PITCH] = c[m][0][3] + c[m][1][3];
                }
            }
        }
        __syncthreads();
        if (last) {
            const float2 in = __half22float2(input);
            float low = in.x, high = in.y;
            const float* from = sums + sequence * PITCH + row_pair;
#pragma unroll
            for (int k = 0; k < N_WARPS; ++k) {
                const float2 part = *reinterpret_cast<const float2*>(from + k * 8 * N_GROUPS * PITCH);
                low += part.x, high += part.y;
            }
            const unsigned word = pack(fast_tanh(low), fast_tanh(high));
            publish(exchange + t * state + (size_t)(row / 32 * batch + sequence) * 32 + row % 32, word);
            const size_t place = ((size_t)t * batch + sequence) * hidden + row;
            *reinterpret_cast<unsigned*>(o + place) = word;
            if (t + 1 < steps) input = *reinterpret_cast<const __half2*>(x + place + state);
        }
    }
}
