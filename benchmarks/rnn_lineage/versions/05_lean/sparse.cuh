// Nonzero weights in shared memory, for matrices that do not fit on chip when dense.
//
// A block owns ROWS_PER_BLOCK rows of W and holds their nonzeros in shared memory for the whole run,
// those that do not fit being read from global memory (and so from the second-level cache). In a
// step its threads together copy h_{t-1} to shared memory, [hidden][batch], as its parts arrive; then
// each half of a warp takes a row at a time.
//
// Half a warp is SLOTS slots of BATCH / 4 lanes; a slot goes through a list of nonzeros of the row,
// and each of its lanes looks up four sequences of that column: 8 bytes. A phase of such a load covers
// the 16 lanes, and so SLOTS columns. A slot is given columns of one class (column modulo SLOTS)
// first: the lanes of a phase are then in different banks, whatever the pattern. What a class has
// beyond the mean goes into the slots of classes that have less.
#pragma once
#include "exchange.cuh"

template <int BATCH>
struct Layout {
    static constexpr int QUADS = BATCH / 4;  // lanes of a slot
    static constexpr int SLOTS = 16 / QUADS;
};

// Nonzeros of one row, as prepared: the length of its lists, a multiple of 4, in `lengths`, and at
// `stride` words per row the lists, [length / 4][slot][4]. A word is the column (low half) and the
// weight (high half); a list is filled up with zeros of a column of its class.
template <int BATCH>
__device__ __forceinline__ void pack_rows(const __half* __restrict__ w, unsigned* packed,
                                          int* lengths, int hidden, int stride) {
    constexpr int SLOTS = Layout<BATCH>::SLOTS;
    __shared__ int counts[SLOTS];
    const int row = blockIdx.x;
    const int slot = threadIdx.x;  // one thread a class
    const bool active = slot < SLOTS;
    const __half* from = w + (size_t)row * hidden;
    unsigned* to = packed + (size_t)row * stride;
    auto put = [&](int in_slot, int index, unsigned word) {
        to[(index / 4 * SLOTS + in_slot) * 4 + index % 4] = word;
    };
    int count = 0;
    if (active) {
        for (int column = slot; column < hidden; column += SLOTS) {
            count += (__half_as_ushort(from[column]) & 0x7fff) != 0;
        }
        counts[slot] = count;
    }
    __syncwarp();
    int all = 0;
    for (int s = 0; s < SLOTS; ++s) all += counts[s];
    const int length = (all + 4 * SLOTS - 1) / (4 * SLOTS) * 4;
    int surplus = 0;  // of the classes before
    for (int s = 0; s < min(slot, SLOTS); ++s) surplus += max(0, counts[s] - length);
    if (active) {
        for (int index = count; index < length; ++index) put(slot, index, slot);
    }
    __syncwarp();
    if (active) {
        int index = 0;
        for (int column = slot; column < hidden; column += SLOTS) {
            const unsigned short bits = __half_as_ushort(from[column]);
            if ((bits & 0x7fff) == 0) continue;
            const unsigned word = (unsigned)bits << 16 | column;
            if (index < length) {
                put(slot, index, word);
            } else {
                int place = surplus + index - length;  // among the free places of all slots
                int s = 0;
                while (place >= max(0, length - counts[s])) place -= max(0, length - counts[s++]);
                put(s, counts[s] + place, word);
            }
            ++index;
        }
    }
    if (slot == 0) lengths[row] = length;
}

__device__ __forceinline__ void add_product(float (&sum)[4], unsigned entry, const char* h, int pitch) {
    const uint2 four = *reinterpret_cast<const uint2*>(h + (entry & 0xffffu) * pitch);
    const float weight = __half2float(__ushort_as_half((unsigned short)(entry >> 16)));
    const float2 low = __half22float2(*reinterpret_cast<const __half2*>(&four.x));
    const float2 high = __half22float2(*reinterpret_cast<const __half2*>(&four.y));
    sum[0] += weight * low.x, sum[1] += weight * low.y;
    sum[2] += weight * high.x, sum[3] += weight * high.y;
}

template <int BATCH>
__device__ __forceinline__ void add_list(float (&sum)[4], const uint4* list, int length, const char* h) {
#pragma unroll 4
    for (int i = 0; i < length / 4; ++i) {
        const uint4 four = list[i * Layout<BATCH>::SLOTS];
        add_product(sum, four.x, h, 2 * BATCH);
        add_product(sum, four.y, h, 2 * BATCH);
        add_product(sum, four.z, h, 2 * BATCH);
        add_product(sum, four.w, h, 2 * BATCH);
    }
}

// Dynamic shared memory: states of h, `buffers` of them, then the nonzeros of as many of the block's
// rows as fit into `room` bytes. `wait`: cycles before the first look at what others publish.
template <int BATCH, int MAX_ROWS>
__device__ __forceinline__ void sparse(const unsigned* __restrict__ packed,
                                       const int* __restrict__ lengths, const __half* h0,
                                       const __half* __restrict__ x, __half* o, __half* exchange,
                                       int hidden, int steps, int stride, int rows_per_block,
                                       int room, int buffers, int wait) {
    using L = Layout<BATCH>;
    extern __shared__ __align__(16) char shared[];
    __shared__ int begin[MAX_ROWS + 1];  // of a row's nonzeros in shared memory, in words
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32, warps = blockDim.x / 32;
    const int slot = lane % 16 / L::QUADS, quad = lane % L::QUADS;
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

    const int value = (lane >> 3 & 1) * 2 + (lane >> 2 & 1);  // of the four sums, after reduction
    const bool holds = (lane & 3 & ~(L::QUADS - 1)) == 0;     // this lane keeps one of them
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
            constexpr int AT_ONCE = 5;
            hold_back(wait);
            for (int base = threadIdx.x; base < state / 8; base += AT_ONCE * blockDim.x) {
                uint4 v[AT_ONCE];
                unsigned all;
                do {
#pragma unroll
                    for (int k = 0; k < AT_ONCE; ++k) {
                        const int i = base + k * blockDim.x;
                        v[k] = uint4{1, 1, 1, 1};
                        if (i < state / 8) v[k] = peek(from + i);
                    }
                    all = least(v[0]);
#pragma unroll
                    for (int k = 1; k < AT_ONCE; ++k) all = min(all, least(v[k]));
                } while (all == 0);
#pragma unroll
                for (int k = 0; k < AT_ONCE; ++k) {
                    const int i = base + k * blockDim.x;
                    if (i < state / 8) reinterpret_cast<uint4*>(h)[i] = v[k];
                }
            }
        }
        __syncthreads();
        for (int base = 2 * warp; base < rows; base += 2 * warps) {
            const int r = base + lane / 16;
            const bool real = r < rows;
            const int row = first_row + min(r, rows - 1);
            const size_t place = (size_t)t * state + (size_t)sequence * hidden + row;
            float in = 0.0f;
            if (holds && real) {
                in = __half2float(x[place]);
                // What the next step adds is brought nearer meanwhile.
                if (t + 1 < steps) asm volatile("prefetch.global.L2 [%0];" :: "l"(x + place + state));
            }
            const int start = begin[min(r, rows - 1)], end = begin[min(r, rows - 1) + 1];
            const int length = real ? (end - start) / L::SLOTS : 0;
            const char* mine = h + quad * 8;
            float sum[4] = {};
            if (end * 4 <= room) {
                add_list<BATCH>(sum, reinterpret_cast<const uint4*>(weights + start) + slot, length, mine);
            } else {
                add_list<BATCH>(sum, reinterpret_cast<const uint4*>(packed + (size_t)row * stride) + slot,
                                length, mine);
            }
            __syncwarp();
            // Half of the lanes keep two sums, then a quarter one: fewer exchanges than one by one.
            const bool upper = lane & 8, odd = lane & 4;
            float keep0 = upper ? sum[2] : sum[0], keep1 = upper ? sum[3] : sum[1];
            keep0 += __shfl_xor_sync(~0u, upper ? sum[0] : sum[2], 8);
            keep1 += __shfl_xor_sync(~0u, upper ? sum[1] : sum[3], 8);
            float one = odd ? keep1 : keep0;
            one += __shfl_xor_sync(~0u, odd ? keep0 : keep1, 4);
#pragma unroll
            for (int other = 2; other >= L::QUADS; other /= 2) {
                one += __shfl_xor_sync(~0u, one, other);
            }
            const float result = fast_tanh(one + in);
            const float next = __shfl_xor_sync(~0u, result, 4);
            if (holds && real) {
                if (!odd) {
                    publish(exchange + (size_t)t * state + (size_t)row * BATCH + quad * 4 + value,
                            pack(result, next));
                }
                o[place] = __float2half(result);
            }
        }
    }
}
