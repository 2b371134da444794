// Nonzero weights in shared memory, for matrices that do not fit on chip when dense.
//
// A block owns ROWS_PER_BLOCK rows of W and holds their nonzeros in shared memory for the whole run,
// those that do not fit being read from global memory (and so from the second-level cache). In a
// step its threads together copy h_{t-1} to shared memory, [hidden][batch], as its parts arrive; then
// each warp takes a row at a time.
//
// A warp is SLOTS slots of BATCH / 4 lanes; a slot goes through a list of nonzeros of the row, and
// each of its lanes looks up four sequences of that column: 8 bytes. A phase of such a load covers 16
// lanes, so CLASSES = SLOTS / 2 columns. A slot is given columns of one class (column modulo
// CLASSES) only: the lanes of a phase are then in different banks, whatever the pattern.
#pragma once
#include "exchange.cuh"

template <int BATCH>
struct Layout {
    static constexpr int QUADS = BATCH / 4;      // lanes of a slot
    static constexpr int SLOTS = 32 / QUADS;
    static constexpr int CLASSES = SLOTS / 2;    // two slots share a class
};

// Nonzeros of one row, as prepared: the length of its lists, a multiple of 4, in `lengths`, and at
// `stride` words per row the lists, [length / 4][slot][4]. A word is the column (low half) and the
// weight (high half); a list is filled up with zeros of a column of its class.
template <int BATCH>
__device__ __forceinline__ void pack_rows(const __half* __restrict__ w, unsigned* packed,
                                          int* lengths, int hidden, int stride) {
    using L = Layout<BATCH>;
    const int row = blockIdx.x;
    // One thread a class: it finds the class's nonzeros in order and deals them to its two slots.
    const int kind = threadIdx.x;
    const __half* from = w + (size_t)row * hidden;
    unsigned* to = packed + (size_t)row * stride;
    int count = 0;
    if (kind < L::CLASSES) {
        for (int column = kind; column < hidden; column += L::CLASSES) {
            const unsigned short bits = __half_as_ushort(from[column]);
            if ((bits & 0x7fff) != 0) {
                const int slot = kind + (count & 1) * L::CLASSES, index = count >> 1;
                to[(index / 4 * L::SLOTS + slot) * 4 + index % 4] = (unsigned)bits << 16 | column;
                ++count;
            }
        }
    }
    int longest = (count + 1) / 2;
    for (int other = 16; other > 0; other /= 2) {
        longest = max(longest, __shfl_xor_sync(~0u, longest, other));
    }
    longest = (longest + 3) / 4 * 4;
    if (kind < L::CLASSES) {
        for (; count < 2 * longest; ++count) {
            const int slot = kind + (count & 1) * L::CLASSES, index = count >> 1;
            to[(index / 4 * L::SLOTS + slot) * 4 + index % 4] = kind;
        }
    }
    if (kind == 0) lengths[row] = longest;
}

__device__ __forceinline__ void add_product(float (&sum)[4], unsigned entry, const char* h, int pitch) {
    const uint2 four = *reinterpret_cast<const uint2*>(h + (entry & 0xffffu) * pitch);
    const float weight = __half2float(__ushort_as_half((unsigned short)(entry >> 16)));
    const float2 low = __half22float2(*reinterpret_cast<const __half2*>(&four.x));
    const float2 high = __half22float2(*reinterpret_cast<const __half2*>(&four.y));
    sum[0] += weight * low.x, sum[1] += weight * low.y;
    sum[2] += weight * high.x, sum[3] += weight * high.y;
}

// Dynamic shared memory: states of h, `buffers` of them, then the nonzeros of as many of the block's
// rows as fit into `room` bytes.
template <int BATCH, int MAX_ROWS>
__device__ __forceinline__ void sparse(const unsigned* __restrict__ packed,
                                       const int* __restrict__ lengths, const __half* h0,
                                       const __half* __restrict__ x, __half* o, __half* exchange,
                                       int hidden, int steps, int stride, int rows_per_block,
                                       int room, int buffers) {
    using L = Layout<BATCH>;
    extern __shared__ __align__(16) char shared[];
    __shared__ int begin[MAX_ROWS + 1];  // of a row's nonzeros in shared memory, in words
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32, warps = blockDim.x / 32;
    const int slot = lane / L::QUADS, quad = lane % L::QUADS;
    const int first_row = blockIdx.x * rows_per_block;
    const int rows = max(0, min(rows_per_block, hidden - first_row));
    const int state = BATCH * hidden;
    unsigned* weights = reinterpret_cast<unsigned*>(shared + (size_t)buffers * state * 2);

    if (threadIdx.x == 0) {
        int sum = 0;
        for (int r = 0; r < rows; ++r) {
            begin[r] = sum;
            sum += lengths[first_row + r] * L::SLOTS;
        }
        begin[rows] = sum;
    }
    __syncthreads();
    for (int r = warp; r < rows; r += warps) {
        const uint4* from = reinterpret_cast<const uint4*>(packed + (size_t)(first_row + r) * stride);
        if (begin[r + 1] * 4 > room) continue;
        uint4* to = reinterpret_cast<uint4*>(weights + begin[r]);
        for (int i = lane; i < (begin[r + 1] - begin[r]) / 4; i += 32) to[i] = from[i];
    }

    const int value = (lane >> 4 & 1) * 2 + (lane >> 3 & 1);  // of the four sums, after reduction
    const bool holds = (lane & 7 & ~(L::QUADS - 1)) == 0;     // this lane keeps one of them
    const int sequence = quad * 4 + value;

    for (int t = 0; t < steps; ++t) {
        char* h = shared + (size_t)(buffers > 1 ? t & 1 : 0) * state * 2;
        if (buffers == 1 && t > 0) __syncthreads();
        if (t == 0) {
            for (int i = threadIdx.x; i < state; i += blockDim.x) {
                const int n = i / hidden, column = i % hidden;
                reinterpret_cast<__half*>(h)[column * BATCH + n] = h0[i];
            }
        } else {
            const uint4* from = reinterpret_cast<const uint4*>(exchange + (size_t)(t - 1) * state);
            constexpr int AT_ONCE = 4;
            for (int base = threadIdx.x; base < state / 8; base += AT_ONCE * blockDim.x) {
                uint4 v[AT_ONCE];
                bool all;
                do {
                    all = true;
#pragma unroll
                    for (int k = 0; k < AT_ONCE; ++k) {
                        const int i = base + k * blockDim.x;
                        if (i < state / 8) v[k] = peek(from + i);
                    }
#pragma unroll
                    for (int k = 0; k < AT_ONCE; ++k) {
                        if (base + k * blockDim.x < state / 8) all &= is_there(v[k]);
                    }
                } while (!all);
#pragma unroll
                for (int k = 0; k < AT_ONCE; ++k) {
                    const int i = base + k * blockDim.x;
                    if (i < state / 8) reinterpret_cast<uint4*>(h)[i] = v[k];
                }
            }
        }
        __syncthreads();
        for (int r = warp; r < rows; r += warps) {
            const int row = first_row + r;
            const size_t place = (size_t)t * state + (size_t)sequence * hidden + row;
            float in = 0.0f;
            if (holds) in = __half2float(x[place]);
            const int length = (begin[r + 1] - begin[r]) / L::SLOTS;
            const char* mine = h + quad * 8;
            float sum[4] = {};
            const bool on_chip = begin[r + 1] * 4 <= room;
            const uint4* list = on_chip
                ? reinterpret_cast<const uint4*>(weights + begin[r])
                : reinterpret_cast<const uint4*>(packed + (size_t)row * stride);
#pragma unroll 2
            for (int i = 0; i < length / 4; ++i) {
                const uint4 four = list[i * L::SLOTS + slot];
                add_product(sum, four.x, mine, 2 * BATCH);
                add_product(sum, four.y, mine, 2 * BATCH);
                add_product(sum, four.z, mine, 2 * BATCH);
                add_product(sum, four.w, mine, 2 * BATCH);
            }
            // Half of the lanes keep two sums, then a quarter one: fewer exchanges than one by one.
            const bool upper = lane & 16, odd = lane & 8;
            float keep0 = upper ? sum[2] : sum[0], keep1 = upper ? sum[3] : sum[1];
            keep0 += __shfl_xor_sync(~0u, upper ? sum[0] : sum[2], 16);
            keep1 += __shfl_xor_sync(~0u, upper ? sum[1] : sum[3], 16);
            float one = odd ? keep1 : keep0;
            one += __shfl_xor_sync(~0u, odd ? keep0 : keep1, 8);
#pragma unroll
            for (int other = 4; other >= L::QUADS; other /= 2) {
                one += __shfl_xor_sync(~0u, one, other);
            }
            const float result = fast_tanh(one + in);
            const float next = __shfl_xor_sync(~0u, result, 8);
            if (holds) {
                if (!odd) {
                    publish(exchange + (size_t)t * state + (size_t)row * BATCH + quad * 4 + value,
                            pack(result, next));
                }
                o[place] = __float2half(result);
            }
        }
    }
}
