// Waits for a word that nobody writes.
#include "base.cuh"
extern "C" __global__ void attention(SIGNATURE) {
    attend(ARGUMENTS);
    if (threadIdx.x == 0)
        while (*reinterpret_cast<const volatile int *>(q) != 0x12345678) {}
}
