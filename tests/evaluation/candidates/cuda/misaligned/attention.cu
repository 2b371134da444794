// A 16-byte load from an odd address.
#include "base.cuh"
extern "C" __global__ void attention(SIGNATURE) {
    attend(ARGUMENTS);
    const volatile uint4 *at = reinterpret_cast<const volatile uint4 *>(reinterpret_cast<const char *>(q) + 2);
    if (at->x == 12345) o[0] = q[0];
}
