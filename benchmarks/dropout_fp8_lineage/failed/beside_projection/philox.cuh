// Philox4x32-10 with the counter that the task defines, and the mask as bits.
// A tile of the mask is 64 rows by 128 keys. Thread t of a warpgroup holds of it what it holds of the scores of an
// m64n128 product: rows 16 (t / 32) + t % 32 / 4 and 8 more, keys 8 n + 2 (t % 4) and one more, n = 0 ... 15. Its 64 bits
// are two words: call n is bit 7 - n % 8 of the four bytes of word n / 8; byte e belongs to element e of the call.
#pragma once
#include "hopper.cuh"

#define PHILOX_ROUNDS 10
#define DROP_BELOW 0x1999999Au   // an element is dropped where its word is below: p = 0.1

__device__ __forceinline__ void multiply_wide(u32 a, u32 m, u32& high, u32& low) {
    const u64 product = (u64)a * m;
    high = (u32)(product >> 32); low = (u32)product;
}

// Sets `bit` of bits where the word says that its element is kept.
__device__ __forceinline__ void append(u32& bits, u32 word, u32 bit) {
    asm("{\n.reg .pred keep;\nsetp.ge.u32 keep, %1, %2;\n@keep or.b32 %0, %0, %3;\n}\n" : "+r"(bits) : "r"(word), "n"(DROP_BELOW), "r"(bit));
}

// Bits of CALLS neighbouring calls n of each of ROWS rows: the calls' counters begin with `pair` (of keys) and go up by 4.
// Everything that depends on the row or on the head alone, or on the keys alone, is computed once for all of them.
template <int ROWS, int CALLS>
__device__ __forceinline__ void draw(u32 (&bits)[ROWS], u32 pair, const u32 (&row)[ROWS], u32 head, u32 k0, u32 k1) {
    u32 c[ROWS][CALLS][4];
#pragma unroll
    for (int r = 0; r < ROWS; ++r)
#pragma unroll
        for (int i = 0; i < CALLS; ++i) { c[r][i][0] = pair + 4 * i; c[r][i][1] = row[r]; c[r][i][2] = head; c[r][i][3] = 0; }
#pragma unroll
    for (int round = 0; round < PHILOX_ROUNDS; ++round) {
#pragma unroll
        for (int r = 0; r < ROWS; ++r)
#pragma unroll
            for (int i = 0; i < CALLS; ++i) {
                u32 (&x)[4] = c[r][i];
u32 h0, l0, h1, l1;
                multiply_wide(x[0], 0xD2511F53u, h0, l0); multiply_wide(x[2], 0xCD9E8D57u, h1, l1);
                x[0] = h1 ^ x[1] ^ k0; x[1] = l1;
                x[2] = h0 ^ x[3] ^ k1; x[3] = l0;
            }
        k0 += 0x9E3779B9u; k1 += 0xBB67AE85u;
    }
#pragma unroll
    for (int r = 0; r < ROWS; ++r)
#pragma unroll
        for (int i = 0; i < CALLS; ++i)
#pragma unroll
            for (int e = 0; e < 4; ++e) append(bits[r], c[r][i][e], 1u << (8 * e + CALLS - 1 - i));
}

// The two words of this thread in ROWS tiles that differ in their rows. `row`: counters of its rows, `key0`: first key.
template <int ROWS, int CALLS>
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
            draw<ROWS, CALLS>(bits, pair + 32 * half + 4 * n, row, head, k0, k1);
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
template <int ROWS, int CALLS>
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
            draw_tile<ROWS, CALLS>(tile, key0, row, head, k0, k1);
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
