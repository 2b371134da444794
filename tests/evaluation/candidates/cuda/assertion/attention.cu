// A device-side assertion that does not hold.
#include "base.cuh"
extern "C" __global__ void attention(SIGNATURE) {
    attend(ARGUMENTS);
    assert(seq < 0);
}
