// Philox4x32-10 and the counter that the task defines.
#pragma once
#include <cstdint>

#define DROP_BELOW 0x1999999Au  // an element is dropped where its word is below: p = 0.1

__device__ __forceinline__ uint4 philox(uint4 c, uint2 key) {
#pragma unroll
    for (int round = 0; round < 10; ++round) {
        const uint32_t h0 = __umulhi(c.x, 0xD2511F53u), l0 = c.x * 0xD2511F53u;
        const uint32_t h1 = __umulhi(c.z, 0xCD9E8D57u), l1 = c.z * 0xCD9E8D57u;
        c = make_uint4(h1 ^ c.y ^ key.x, l1, h0 ^ c.w ^ key.y, l0);
        key.x += 0x9E3779B9u;
        key.y += 0xBB67AE85u;
    }
    return c;
}

// The words of elements (row, key) and (row, key + 1), key even; `head` is batch * heads + head.
__device__ __forceinline__ uint2 words_of_pair(int row, int key, int head, uint2 seed) {
    const uint4 words = philox(make_uint4(key / 2, row / 16 * 8 + row % 8, head, 0), seed);
    return row / 8 % 2 ? make_uint2(words.z, words.w) : make_uint2(words.x, words.y);
}
