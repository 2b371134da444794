// Dense weights in registers, products on tensor cores, and each block with a slice of the columns.
//
// What a step costs is mostly the exchange of h. Where every block needs all of it, the second-level
// cache has to deliver it once for each block; here a block needs an eighth. A cluster of 8 blocks
// owns 16 * WARPS rows of W, and each of its blocks an eighth of their columns, which its warps hold
// in registers as the left operand of mma.m16n8k16, 16 rows a warp. In a step a block
//
// 1. waits for its slice of h_{t-1}, which a few of its threads copy to shared memory,
// 2. multiplies: partial sums of all of the cluster's rows,
// 3. sends these to the blocks that finish those rows, through distributed shared memory: each
//    block finishes an eighth of the rows, and an mbarrier counts the bytes that have come,
// 4. adds up what it got, applies tanh and publishes its part of h_t to all clusters.
//
// Exchange buffer of a step: [hidden / 16][batch][16]; 8 bytes are what a lane needs for a product.
//
// A block may send for step t + 2 into the buffer of step t: it has seen h_{t+1}, for which the
// blocks of some cluster together needed all of h_t, so that also the receiver had finished step t.
#pragma once
#include "exchange.cuh"

constexpr int CLUSTER = 8;

__device__ __forceinline__ void mma(float (&c)[4], const unsigned (&a)[4], uint2 b) {
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 "
                 "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
                 : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b.x), "r"(b.y));
}

__device__ __forceinline__ unsigned shared_address(const void* p) {
    return (unsigned)__cvta_generic_to_shared(p);
}

__device__ __forceinline__ unsigned in_block(unsigned address, unsigned rank) {
    unsigned there;
    asm("mapa.shared::cluster.u32 %0, %1, %2;" : "=r"(there) : "r"(address), "r"(rank));
    return there;
}

__device__ __forceinline__ void cluster_barrier() {
    asm volatile("barrier.cluster.arrive.release.aligned;\n"
                 "barrier.cluster.wait.acquire.aligned;" ::: "memory");
}

// Stores two floats in another block's shared memory and tells its mbarrier of the 8 bytes.
__device__ __forceinline__ void send(unsigned to, unsigned arrived, float first, float second) {
    asm volatile("st.async.weak.shared::cluster.mbarrier::complete_tx::bytes.v2.b32 [%0], {%1, %2}, [%3];"
                 :: "r"(to), "r"(__float_as_uint(first)), "r"(__float_as_uint(second)), "r"(arrived)
                 : "memory");
}

__device__ __forceinline__ void expect(unsigned arrived, unsigned bytes) {
    asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;"
                 :: "r"(arrived), "r"(bytes) : "memory");
}

__device__ __forceinline__ void wait(unsigned arrived, unsigned parity) {
    asm volatile("{\n.reg .pred there;\nagain:\n"
                 "mbarrier.try_wait.parity.acquire.cluster.shared::cta.b64 there, [%0], %1;\n"
                 "@!there bra again;\n}" :: "r"(arrived), "r"(parity) : "memory");
}

// N_PRODUCTS: groups of 16 columns a block, at most. N_BATCH: sequences, a multiple of 4.
template <int N_WARPS, int N_PRODUCTS, int N_BATCH>
__device__ __forceinline__ void dense(const __half* __restrict__ w, const __half* h0,
                                      const __half* __restrict__ x, __half* o, __half* exchange,
                                      int hidden, int steps) {
    constexpr int HALVES = 2 * N_WARPS / CLUSTER;  // of a tile of 16 rows that a block finishes
    constexpr int GROUPS = (N_BATCH + 7) / 8;
    constexpr int PAIRS = N_BATCH / 2;             // of sequences
    constexpr int BYTES = CLUSTER * HALVES * 8 * N_BATCH * 4;
    constexpr int FINISHING = (HALVES * 8 * PAIRS + 31) / 32;  // warps
    static_assert(2 * N_WARPS % CLUSTER == 0, "half tiles are dealt out evenly");
    __shared__ __align__(16) float partial[2][CLUSTER][HALVES * 8][N_BATCH];
    __shared__ __align__(16) __half slice[2][N_PRODUCTS * N_BATCH * 16];
    __shared__ __align__(8) unsigned long long arrived[2];
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    const int pair = lane % 4, eighth = lane / 4;
    const int rank = blockIdx.x % CLUSTER;
    const int first_row = blockIdx.x / CLUSTER * 16 * N_WARPS;
    const int products = hidden / (16 * CLUSTER);
    const int first_column = rank * products * 16;

    unsigned a[N_PRODUCTS][4];
#pragma unroll
    for (int k = 0; k < N_PRODUCTS; ++k) {
        const int row = first_row + 16 * warp + eighth;
        uint2 upper = {}, lower = {};
        if (k < products) {
            const __half* from = w + (size_t)row * hidden + first_column + 16 * k + 4 * pair;
            if (row < hidden) upper = *reinterpret_cast<const uint2*>(from);
            if (row + 8 < hidden) {
                lower = *reinterpret_cast<const uint2*>(from + (size_t)8 * hidden);
            }
        }
        a[k][0] = upper.x, a[k][1] = lower.x, a[k][2] = upper.y, a[k][3] = lower.y;
    }
    if (threadIdx.x == 0) {
        for (int i = 0; i < 2; ++i) {
            asm volatile("mbarrier.init.shared::cta.b64 [%0], 1;" :: "r"(shared_address(&arrived[i])));
        }
        asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
        for (int i = 0; i < 2; ++i) expect(shared_address(&arrived[i]), BYTES);
    }
    cluster_barrier();

    // Where the two halves of this warp's tile go.
    unsigned to[2], tell[2];
#pragma unroll
    for (int i = 0; i < 2; ++i) {
        const int half = 2 * warp + i;
        const unsigned receiver = half / HALVES;
        to[i] = in_block(shared_address(&partial[0][rank][half % HALVES * 8 + eighth][2 * pair]), receiver);
        tell[i] = in_block(shared_address(&arrived[0]), receiver);
    }
    const int my_pair = threadIdx.x % PAIRS, my_row = threadIdx.x / PAIRS;
    const bool finishes = my_row < HALVES * 8;
    const int row = first_row + rank * HALVES * 8 + my_row;
    const size_t state = (size_t)N_BATCH * hidden;
    const __half* input = x + (size_t)(2 * my_pair) * hidden + row;
    float in0 = 0.0f, in1 = 0.0f;
    if (finishes && row < hidden) in0 = __half2float(input[0]), in1 = __half2float(input[hidden]);

    // The last warps fetch h, since the first ones finish rows.
    const int fetcher = blockDim.x - 1 - threadIdx.x;
    const int vectors = products * N_BATCH * 2;
    for (int t = 0; t < steps; ++t) {
        __half* h = slice[t & 1];
        for (int i = fetcher; i < vectors; i += blockDim.x) {
            uint4 v;
            if (t == 0) {
                const int k = i / (2 * N_BATCH), n = i / 2 % N_BATCH;
                v = *reinterpret_cast<const uint4*>(
                    h0 + (size_t)n * hidden + first_column + 16 * k + 8 * (i % 2));
            } else {
                const __half* from = exchange + (t - 1) * state + (size_t)first_column * N_BATCH;
                do {
                    v = peek(from + 8 * i);
                } while (!is_there(v));
            }
            reinterpret_cast<uint4*>(h)[i] = v;
        }
        __syncthreads();
#pragma unroll
        for (int g = 0; g < GROUPS; ++g) {
            const int n = 8 * g + eighth;
            float c[2][4] = {};  // two chains of products, to hide their latency
#pragma unroll
            for (int k = 0; k < N_PRODUCTS; ++k) {
                if (k < products) {
                    uint2 b = {};
                    if (n < N_BATCH) {
                        b = *reinterpret_cast<const uint2*>(h + (k * N_BATCH + n) * 16 + 4 * pair);
                    }
                    mma(c[k % 2], a[k], b);
                }
            }
            if (8 * g + 2 * pair < N_BATCH) {
                constexpr int OTHER = sizeof(partial) / 2;
                const unsigned place = (t & 1) * OTHER + g * 8 * 4;
                send(to[0] + place, tell[0] + 8 * (t & 1), c[0][0] + c[1][0], c[0][1] + c[1][1]);
                send(to[1] + place, tell[1] + 8 * (t & 1), c[0][2] + c[1][2], c[0][3] + c[1][3]);
            }
        }
        if (warp < FINISHING) {
            const unsigned mine = shared_address(&arrived[t & 1]);
            wait(mine, t >> 1 & 1);
            __syncwarp();
            if (threadIdx.x == 0) expect(mine, BYTES);
            float sum0 = in0, sum1 = in1;
            if (finishes) {
#pragma unroll
                for (int k = 0; k < CLUSTER; ++k) {
                    const float2 part =
                        *reinterpret_cast<const float2*>(&partial[t & 1][k][my_row][2 * my_pair]);
                    sum0 += part.x, sum1 += part.y;
                }
            }
            const float result0 = fast_tanh(sum0), result1 = fast_tanh(sum1);
            // A word holds two rows of one sequence: even rows take the first sequence of the pair.
            const bool odd = my_row & 1;
            const float other = __shfl_xor_sync(~0u, odd ? result0 : result1, PAIRS);
            const unsigned word = odd ? pack(other, result1) : pack(result0, other);
            if (finishes && row < hidden) {
                const int n = 2 * my_pair + odd, even = row & ~1;
                publish(exchange + t * state + (size_t)(even / 16 * N_BATCH + n) * 16 + even % 16, word);
                *reinterpret_cast<unsigned*>(o + ((size_t)t * N_BATCH + n) * hidden + even) = word;
                if (t + 1 < steps) {
                    input += state;
                    in0 = __half2float(input[0]), in1 = __half2float(input[hidden]);
                }
            }
        }
    }
    cluster_barrier();  // nobody leaves while something may still come
}
