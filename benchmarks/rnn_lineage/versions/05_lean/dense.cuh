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
//
// Everything between two loads is on the critical path, so nothing is computed there that can be
// known before: addresses only grow by a constant, sizes are constants, no lane is left out.
#pragma once
#include "exchange.cuh"

__device__ __forceinline__ void mma(float (&c)[4], const unsigned (&a)[4], unsigned b0, unsigned b1) {
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 "
                 "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
                 : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

__device__ __forceinline__ void put(unsigned to, float value) {
    asm volatile("st.shared.f32 [%0], %1;" :: "r"(to), "f"(value) : "memory");
}

__device__ __forceinline__ float2 take(unsigned from) {
    float2 v;
    asm volatile("ld.shared.v2.f32 {%0, %1}, [%2];" : "=f"(v.x), "=f"(v.y) : "r"(from) : "memory");
    return v;
}

template <bool VALUE>
struct Choice {
    static constexpr bool value = VALUE;
};

// N_TILES: tiles of 16 rows a block. N_SLICE: blocks of 32 columns a warp. N_BATCH: sequences.
// WAIT: cycles before the first look at what others publish.
template <int N_WARPS, int N_TILES, int N_SLICE, int N_BATCH, int WAIT>
__device__ __forceinline__ void dense(const __half* __restrict__ w, const __half* h0,
                                      const __half* __restrict__ x, __half* o, __half* exchange,
                                      int hidden, int steps) {
    constexpr int ROWS = 16 * N_TILES;
    constexpr int GROUPS = (N_BATCH + 7) / 8;  // of 8 sequences, the columns of one product
    constexpr int PITCH = ROWS + 4;  // floats; keeps the partial sums of a warp in different banks
    constexpr int WARP_SUMS = 8 * GROUPS * PITCH, BUFFER = N_WARPS * WARP_SUMS;
    extern __shared__ __align__(16) float partial[];  // [2][N_WARPS][8 * GROUPS][PITCH]
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    const int pair = lane % 4, eighth = lane / 4;
    const int first_row = blockIdx.x * ROWS;
    const int blocks = hidden / 32;
    // The last slices begin earlier where columns run out; what another warp has weighs nothing.
    const int first = min(warp * N_SLICE, blocks - N_SLICE);

    unsigned a[N_TILES][2 * N_SLICE][4];
#pragma unroll
    for (int m = 0; m < N_TILES; ++m) {
#pragma unroll
        for (int j = 0; j < N_SLICE; ++j) {
            const int row = first_row + 16 * m + eighth;
            uint4 upper = {}, lower = {};
            if (first + j >= warp * N_SLICE) {
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
    const bool last = sequence < N_BATCH && row < hidden;
    const size_t state = (size_t)N_BATCH * hidden;
    const size_t place = (size_t)sequence * hidden + row;
    const __half* input = x + (last ? place : 0);
    __half* output = o + (last ? place : 0);
    __half* shown = exchange + (last ? (row / 32 * N_BATCH + sequence) * 32 + row % 32 : 0);
    // Addresses in shared memory, in bytes.
    const unsigned sums = (unsigned)__cvta_generic_to_shared(partial);
    const unsigned to = sums + 4 * (warp * WARP_SUMS + 2 * pair * PITCH + eighth);
    const unsigned from = sums + 4 * (last ? sequence * PITCH + row_pair : 0);
    unsigned in = *reinterpret_cast<const unsigned*>(input);
    // Columns of the product beyond the batch repeat it: what comes of them is not used.
    const __half* seen = exchange + (size_t)first * 32 * N_BATCH + 32 * (eighth % N_BATCH) + 8 * pair;

    auto step = [&](auto begins, int buffer) {
        constexpr bool BEGINS = decltype(begins)::value;
#pragma unroll
        for (int g = 0; g < GROUPS; ++g) {
            uint4 h[N_SLICE];
            if constexpr (BEGINS) {
                const int n = (8 * g + eighth) % N_BATCH;
#pragma unroll
                for (int j = 0; j < N_SLICE; ++j) {
                    h[j] = *reinterpret_cast<const uint4*>(
                        h0 + (size_t)n * hidden + 32 * (first + j) + 8 * pair);
                }
            } else {
                unsigned all;
                if (WAIT > 0 && g == 0) hold_back(WAIT);
                do {
#pragma unroll
                    for (int j = 0; j < N_SLICE; ++j) h[j] = peek(seen + (j * N_BATCH + 8 * g) * 32);
                    all = least(h[0]);
#pragma unroll
                    for (int j = 1; j < N_SLICE; ++j) all = min(all, least(h[j]));
                } while (all == 0);
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
            if (N_BATCH >= 8 || pair < N_BATCH / 2) {
#pragma unroll
                for (int m = 0; m < N_TILES; ++m) {
                    const unsigned mine = to + buffer + 4 * (8 * g * PITCH + 16 * m);
                    put(mine, c[m][0][0] + c[m][1][0]);
                    put(mine + 4 * PITCH, c[m][0][1] + c[m][1][1]);
                    put(mine + 4 * 8, c[m][0][2] + c[m][1][2]);
                    put(mine + 4 * (8 + PITCH), c[m][0][3] + c[m][1][3]);
                }
            }
        }
        __syncthreads();
        if (last) {
            float2 part[N_WARPS];
#pragma unroll
            for (int k = 0; k < N_WARPS; ++k) part[k] = take(from + buffer + 4 * k * WARP_SUMS);
            const float2 given = __half22float2(*reinterpret_cast<const __half2*>(&in));
            float low[4] = {given.x}, high[4] = {given.y};  // four chains of additions
#pragma unroll
            for (int k = 0; k < N_WARPS; ++k) low[k % 4] += part[k].x, high[k % 4] += part[k].y;
            const unsigned word = pack(
                fast_tanh(low[0] + low[1] + (low[2] + low[3])),
                fast_tanh(high[0] + high[1] + (high[2] + high[3])));
            publish(shown, word);
            *reinterpret_cast<unsigned*>(output) = word;
        }
    };

    // x of the next step is fetched before a step, so that it is there at its end.
    step(Choice<true>{}, 0);
    for (int t = 1; t < steps; ++t) {
        input += state, output += state, shown += state;
        if (last) in = *reinterpret_cast<const unsigned*>(input);
        step(Choice<false>{}, t & 1 ? 4 * BUFFER : 0);
        seen += state;
    }
}
