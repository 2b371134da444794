// How blocks hand h_t to each other without a barrier, and what they share beside.
//
// After Lamport's idea of data that carries its own evidence: the buffer of every time step is
// zeroed before the run, and no 32-bit word that is written (two fp16 values) is zero, because a
// pair of zeros is written as a pair of negative zeros. A reader waits until the words that it needs
// are not zero. There is no flag, so no order between two writes matters.
#pragma once
#include <cuda_fp16.h>

constexpr unsigned NEGATIVE_ZEROS = 0x80008000u;

__device__ __forceinline__ uint4 peek(const void* from) {
    uint4 v;
    asm volatile("ld.relaxed.gpu.global.v4.u32 {%0, %1, %2, %3}, [%4];"
                 : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w) : "l"(from) : "memory");
    return v;
}

// The least of the four words: zero where one of them is not there yet. Minima form a tree, where
// comparisons joined by `and` are a chain.
__device__ __forceinline__ unsigned least(const uint4& v) {
    return min(min(v.x, v.y), min(v.z, v.w));
}

__device__ __forceinline__ void publish(void* to, unsigned word) {
    asm volatile("st.relaxed.gpu.global.u32 [%0], %1;"
                 :: "l"(to), "r"(word == 0 ? NEGATIVE_ZEROS : word) : "memory");
}

// Waits about so many cycles before a block asks for what others publish at the same time as it does
// itself: what is asked for too early costs the second-level cache as much as what is there.
__device__ __forceinline__ void hold_back(int cycles) {
    const long long until = clock64() + cycles;
    while (clock64() < until) {}
}

// tanh with an absolute error of about 1e-7, from one exponential and one reciprocal: 1 - 2 / (e^2a + 1).
__device__ __forceinline__ float fast_tanh(float a) {
    float power, quotient;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(power) : "f"(a * 2.885390082f));  // 2 / ln 2
    asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(quotient) : "f"(power + 1.0f));
    return fmaf(quotient, -2.0f, 1.0f);
}

__device__ __forceinline__ unsigned pack(float low, float high) {
    const __half2 pair = __floats2half2_rn(low, high);
    return *reinterpret_cast<const unsigned*>(&pair);
}
