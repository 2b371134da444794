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

// What the first three rounds make of a pair of keys alone, with the round keys that it meets.
struct Pair { u32 second, third, fourth, last; };

__device__ __forceinline__ Pair of_pair(u32 pair, u32 head_low, const u32 (&k0)[PHILOX_ROUNDS], const u32 (&k1)[PHILOX_ROUNDS]) {
    u32 h0, l0, h1, l1, h2, l2;
    multiply_wide(pair, 0xD2511F53u, h0, l0);
    multiply_wide(h0 ^ k1[0], 0xCD9E8D57u, h1, l1);
    multiply_wide(h1 ^ head_low ^ k0[1], 0xD2511F53u, h2, l2);
    Pair p = {l0 ^ k1[1], l1 ^ k0[2], h2 ^ k1[2], l2};
    asm volatile("" : "+r"(p.second), "+r"(p.third), "+r"(p.fourth), "+r"(p.last));   // kept, not computed anew for every row
    return p;
}

// The four words of a call. row_high, row_low: the product of the second round that depends on the row alone.
__device__ __forceinline__ void words(u32 (&x)[4], const Pair& pair, u32 row_high, u32 row_low, const u32 (&k0)[PHILOX_ROUNDS],
                                      const u32 (&k1)[PHILOX_ROUNDS]) {
    u32 h0, l0, h1, l1;
    multiply_wide(row_high ^ pair.second, 0xCD9E8D57u, h1, l1);
    x[0] = h1 ^ pair.third; x[1] = l1; x[2] = pair.fourth ^ row_low; x[3] = pair.last;
#pragma unroll
    for (int round = 3; round < PHILOX_ROUNDS; ++round) {
        multiply_wide(x[0], 0xD2511F53u, h0, l0); multiply_wide(x[2], 0xCD9E8D57u, h1, l1);
        x[0] = h1 ^ x[1] ^ k0[round]; x[1] = l1;
        x[2] = h0 ^ x[3] ^ k1[round]; x[3] = l0;
    }
}

#define JOB_ROWS 32   // groups of 16 rows that a warp draws for its keys; a multiple of 4

// The whole mask, by `warps` warps of which this is number `warp`: each keeps 64 keys and goes through the rows, so that what
// depends on the keys alone is computed once. Written in tiles of 64 x 128: (head, group of 64 rows, group of 128 keys,
// thread), two words each, of which a warp writes one. heads: batch * heads.
__device__ __forceinline__ void draw_mask(u32* mask, const u32* seed, int heads, int seq, int warp, int warps) {
    const int lane = threadIdx.x & 31, groups = seq / 16, spans = (groups + JOB_ROWS - 1) / JOB_ROWS, tiles = seq / 128;
    u32 k0[PHILOX_ROUNDS], k1[PHILOX_ROUNDS];
#pragma unroll
    for (int i = 0; i < PHILOX_ROUNDS; ++i) {
        k0[i] = seed[0] + i * 0x9E3779B9u; k1[i] = seed[1] + i * 0xBB67AE85u;
        asm volatile("" : "+r"(k0[i]), "+r"(k1[i]));
    }
    for (int job = warp; job < heads * tiles * 2 * spans; job += warps) {
        const int half = job & 1, tile = (job >> 1) % tiles, rest = (job >> 1) / tiles, span = rest % spans, head = rest / spans;
        u32 head_high, head_low;
        multiply_wide(head, 0xCD9E8D57u, head_high, head_low);
        head_high ^= k0[0];
        Pair pair[8];
#pragma unroll
        for (int n = 0; n < 8; ++n) pair[n] = of_pair(tile * 64 + half * 32 + 4 * n + (lane & 3), head_low, k0, k1);
        const int first = span * JOB_ROWS, count = min(JOB_ROWS, groups - first);
        u32* out = mask + (((long long)(head * (seq / 64) + first / 4) * tiles + tile) * 128 + lane) * 2 + half;
        u32 row = first * 8 + lane / 4;   // of the counter
#pragma unroll 1
        for (int left = count; left > 0; left -= 4, out += (tiles - 1) * 256) {
#pragma unroll 1
            for (int i = 0; i < 4; ++i, row += 8, out += 64) {
                u32 row_high, row_low, bits = 0;
                multiply_wide(head_high ^ row, 0xD2511F53u, row_high, row_low);
#pragma unroll
                for (int n = 0; n < 8; ++n) {
                    u32 x[4];
                    words(x, pair[n], row_high, row_low, k0, k1);
#pragma unroll
                    for (int e = 0; e < 4; ++e) append(bits, x[e], 0x80u >> n << 8 * e);
                }
                *out = bits;
            }
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
