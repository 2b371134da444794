// Writes to an address that is nobody's.
#include "base.cuh"
extern "C" __global__ void attention(SIGNATURE) {
    attend(ARGUMENTS);
    if (threadIdx.x == 0) o[1ll << 42] = q[0];
}
