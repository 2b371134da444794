// What an exchange between blocks costs when nothing is computed: the floor of a time step.
#include <cooperative_groups.h>
#include <cuda_fp16.h>

__device__ __forceinline__ unsigned load(const unsigned* from) {
    unsigned v;
    asm volatile("ld.relaxed.gpu.global.u32 %0, [%1];" : "=r"(v) : "l"(from) : "memory");
    return v;
}
__device__ __forceinline__ uint4 load4(const void* from) {
    uint4 v;
    asm volatile("ld.relaxed.gpu.global.v4.u32 {%0, %1, %2, %3}, [%4];"
                 : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w) : "l"(from) : "memory");
    return v;
}
__device__ __forceinline__ void store(unsigned* to, unsigned v) {
    asm volatile("st.relaxed.gpu.global.u32 [%0], %1;" :: "l"(to), "r"(v) : "memory");
}

// A counter that every block adds to; then nobody goes on before all have come.
extern "C" __global__ void barrier(unsigned* memory, int steps) {
    for (int t = 1; t <= steps; ++t) {
        __syncthreads();
        if (threadIdx.x == 0) {
            asm volatile("red.release.gpu.global.add.u32 [%0], 1;" :: "l"(memory) : "memory");
            unsigned seen;
            do {
                asm volatile("ld.acquire.gpu.global.u32 %0, [%1];" : "=r"(seen) : "l"(memory) : "memory");
            } while (seen < t * gridDim.x);
        }
        __syncthreads();
    }
}

// Every block writes one word and waits for the words of all: one word a thread.
extern "C" __global__ void words(unsigned* memory, int steps) {
    for (int t = 0; t < steps; ++t) {
        unsigned* mine = memory + t * gridDim.x;
        if (threadIdx.x == 0) store(mine + blockIdx.x, t + 1);
        if (threadIdx.x < gridDim.x) {
            while (load(mine + threadIdx.x) == 0) {}
        }
        __syncthreads();
    }
}

// Every block writes its part of `vectors` 16-byte vectors and waits for all of them.
extern "C" __global__ void states(unsigned* memory, int steps, int vectors) {
    const int words = 4 * vectors, part = (words + gridDim.x - 1) / gridDim.x;
    for (int t = 0; t < steps; ++t) {
        unsigned* mine = memory + (size_t)t * words;
        for (int i = threadIdx.x; i < part; i += blockDim.x) {
            const int word = blockIdx.x * part + i;
            if (word < words) store(mine + word, t + 1);
        }
        for (int i = threadIdx.x; i < vectors; i += blockDim.x) {
            uint4 v;
            do {
                v = load4(mine + 4 * i);
            } while (v.x == 0 || v.y == 0 || v.z == 0 || v.w == 0);
        }
        __syncthreads();
    }
}

// A barrier of the blocks of a cluster, which orders their writes to each other's shared memory.
extern "C" __global__ void cluster_barrier(int steps) {
    for (int t = 0; t < steps; ++t) {
        asm volatile("barrier.cluster.arrive.release.aligned;" ::: "memory");
        asm volatile("barrier.cluster.wait.acquire.aligned;" ::: "memory");
    }
}

// Timestamps in distributed shared memory: each block of a cluster writes a word to every other
// block, and each waits for the words of all in its own memory.
extern "C" __global__ void cluster_words(int steps, int blocks) {
    extern __shared__ volatile unsigned slots[];  // [steps][blocks]
    for (int i = threadIdx.x; i < steps * blocks; i += blockDim.x) slots[i] = 0;
    cooperative_groups::this_cluster().sync();
    unsigned rank;
    asm volatile("mov.u32 %0, %%cluster_ctarank;" : "=r"(rank));
    for (int t = 0; t < steps; ++t) {
        if (threadIdx.x < blocks) {
            const unsigned own = (unsigned)__cvta_generic_to_shared((const void*)(slots + t * blocks + rank));
            asm volatile("{.reg .b32 there; mapa.shared::cluster.u32 there, %0, %1; "
                         "st.relaxed.cluster.shared::cluster.u32 [there], %2;}"
                         :: "r"(own), "r"(threadIdx.x), "r"(t + 1) : "memory");
            while (slots[t * blocks + threadIdx.x] == 0) {}
        }
        __syncthreads();
    }
    cooperative_groups::this_cluster().sync();
}
