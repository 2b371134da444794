// Philox4x32-10 with the counter that the task defines, and the mask as bits.
// A tile of the mask is 64 rows by 128 keys. Thread t of a warpgroup holds of it what it holds of the scores of an
// m64n128 product: rows 16 (t / 32) + t % 32 / 4 and 8 more, keys 8 n + 2 (t % 4) and one more, n = 0 ... 15. Its 64 bits
// are two words: call n is bit 7 - n % 8 of the four bytes of word n / 8; byte e belongs to element e of the call.
#pragma once
#include "hopper.cuh"

#define PHILOX_ROUNDS 10
#define DROP_BELOW 0x1999999Au   // an element is dropped where its word is below: p = 0.1

// A word of the generator's state. `top` is the high word of the double 2^52 + low. A product by the fp64 units leaves it as
// it is, so that a chain of them needs no moves to pair the registers up.
struct Word { u32 low, top; };
#define TOP 0x43300000u

// Both halves of a product of 32-bit words by one wide multiplication.
__device__ __forceinline__ void multiply_wide(Word a, u32 m, Word& high, u32& low) {
    const u64 product = (u64)a.low * m;
    high = {(u32)(product >> 32), TOP}; low = (u32)product;
}
// The same with the high half by the fp64 units: (2^52 + a) m / 2^32 + (2^52 - 2^20 m) = 2^52 + a m / 2^32, rounded towards
// zero to a whole number, is exact.
__device__ __forceinline__ void multiply_double(Word a, u32 m, Word& high, u32& low) {
    const double product = __fma_rz(__hiloint2double((int)a.top, (int)a.low), m * 0x1p-32, 0x1p52 - 0x1p20 * m);
    high = {(u32)__double2loint(product), (u32)__double2hiint(product)};
    low = a.low * m;
}

// Sets `bit` of bits where the word says that its element is kept.
__device__ __forceinline__ void append(u32& bits, u32 word, u32 bit) {
    asm("{\n.reg .pred keep;\nsetp.ge.u32 keep, %1, %2;\n@keep or.b32 %0, %0, %3;\n}\n" : "+r"(bits) : "r"(word), "n"(DROP_BELOW), "r"(bit));
}

// Bits of CALLS neighbouring calls n of each of ROWS rows: the calls' counters begin with `pair` (of keys) and go up by 4.
// Everything that depends on the row or on the head alone, or on the keys alone, is computed once for all of them.
// The high half of a product is the factor of a product of the next round, so there are two chains, one from each factor of
// the counter. The last FIRST and SECOND rounds of them are done by the fp64 units.
template <int ROWS, int CALLS, int FIRST, int SECOND>
__device__ __forceinline__ void draw(u32 (&bits)[ROWS], u32 pair, const u32 (&row)[ROWS], u32 head, u32 k0, u32 k1) {
    Word factor[ROWS][CALLS][2];   // words 0 and 2 of the state
    u32 other[ROWS][CALLS][2];     // words 1 and 3
#pragma unroll
    for (int r = 0; r < ROWS; ++r)
#pragma unroll
        for (int i = 0; i < CALLS; ++i) {
            factor[r][i][0] = {pair + 4 * i, TOP}; factor[r][i][1] = {head, TOP};
            other[r][i][0] = row[r]; other[r][i][1] = 0;
        }
#pragma unroll
    for (int round = 0; round < PHILOX_ROUNDS; ++round) {
        const bool first = round >= PHILOX_ROUNDS - FIRST, second = round >= PHILOX_ROUNDS - SECOND;
#pragma unroll
        for (int r = 0; r < ROWS; ++r)
#pragma unroll
            for (int i = 0; i < CALLS; ++i) {
                Word (&x)[2] = factor[r][i], h0, h1;
                u32 (&y)[2] = other[r][i], l0, l1;
                if (round % 2 ? second : first) multiply_double(x[0], 0xD2511F53u, h0, l0);
                else multiply_wide(x[0], 0xD2511F53u, h0, l0);
                if (round % 2 ? first : second) multiply_double(x[1], 0xCD9E8D57u, h1, l1);
                else multiply_wide(x[1], 0xCD9E8D57u, h1, l1);
                x[0] = {h1.low ^ y[0] ^ k0, h1.top}; y[0] = l1;
                x[1] = {h0.low ^ y[1] ^ k1, h0.top}; y[1] = l0;
            }
        k0 += 0x9E3779B9u; k1 += 0xBB67AE85u;
    }
#pragma unroll
    for (int r = 0; r < ROWS; ++r)
#pragma unroll
        for (int i = 0; i < CALLS; ++i)
#pragma unroll
            for (int e = 0; e < 4; ++e)
                append(bits[r], e % 2 ? other[r][i][e / 2] : factor[r][i][e / 2].low, 1u << (8 * e + CALLS - 1 - i));
}

// The two words of this thread in ROWS tiles that differ in their rows. `row`: counters of its rows, `key0`: first key.
template <int ROWS, int CALLS, int FIRST, int SECOND>
__device__ __forceinline__ void draw_tile(uint2 (&tile)[ROWS], int key0, const u32 (&row)[ROWS], u32 head, u32 k0, u32 k1) {
    const u32 pair = key0 / 2 + (threadIdx.x & 3);
#pragma unroll
    for (int half = 0; half < 2; ++half) {
        u32 bits[ROWS];
#pragma unroll
        for (int r = 0; r < ROWS; ++r) bits[r] = 0;
#pragma unroll 1
        for (int n = 0; n < 8; n += CALLS) {
#pragma unroll
            for (int r = 0; r < ROWS; ++r) bits[r] <<= CALLS;
            draw<ROWS, CALLS, FIRST, SECOND>(bits, pair + 32 * half + 4 * n, row, head, k0, k1);
        }
#pragma unroll
        for (int r = 0; r < ROWS; ++r) {
            if (half == 0) tile[r].x = bits[r]; else tile[r].y = bits[r];
        }
    }
}

#define JOB_KEYS 1024   // keys that a warp draws in one go: short jobs, so that all warps have as much to do

// The whole mask, by `warps` warps of which this is number `warp`: ROWS groups of 16 rows of a head at a time. Written in
// tiles of 64 x 128: (head, group of 64 rows, group of 128 keys, thread), 8 bytes each. heads: batch * heads.
template <int ROWS, int CALLS, int FIRST, int SECOND>
__device__ __forceinline__ void draw_mask(uint2* mask, const u32* seed, int heads, int seq, int warp, int warps) {
    const int lane = threadIdx.x & 31, groups = seq / (16 * ROWS), parts = (seq + JOB_KEYS - 1) / JOB_KEYS;
    const u32 k0 = seed[0], k1 = seed[1];
    for (int job = warp; job < heads * groups * parts; job += warps) {
        const int part = job % parts, head = job / parts / groups, first = job / parts % groups * ROWS;   // group of 16 rows
        u32 row[ROWS];
#pragma unroll
        for (int r = 0; r < ROWS; ++r) row[r] = (first + r) * 8 + lane / 4;
        const int begin = part * JOB_KEYS, end = min(seq, begin + JOB_KEYS);
        uint2* out = mask + ((long long)(head * (seq / 64) + first / 4) * (seq / 128) + begin / 128) * 128 + first % 4 * 32 + lane;
#pragma unroll 1
        for (int key0 = begin; key0 < end; key0 += 128, out += 128) {
            uint2 tile[ROWS];
            draw_tile<ROWS, CALLS, FIRST, SECOND>(tile, key0, row, head, k0, k1);
#pragma unroll
            for (int r = 0; r < ROWS; ++r) out[r * 32] = tile[r];
        }
    }
}

// Zeroes in the packed pairs p of a tile what its bits say is dropped; FROM and TO count calls n.
template <int FROM, int TO, int N> __device__ __forceinline__ void drop(u32 (&p)[N], uint2 tile) {
#pragma unroll
    for (int n = FROM; n < TO; ++n) {
        const u32 bits = (n < 8 ? tile.x : tile.y) << (n % 8);
        u32 low, high;   // the sign of a byte, spread over a half word
        asm("prmt.b32 %0, %1, 0, 0x9988;" : "=r"(low) : "r"(bits));
        asm("prmt.b32 %0, %1, 0, 0xBBAA;" : "=r"(high) : "r"(bits));
        p[2 * n] &= low; p[2 * n + 1] &= high;
    }
}
