// Uses more dynamic shared memory than the manifest asks for.
#include "base.cuh"
extern "C" __global__ void attention(SIGNATURE) {
    extern __shared__ volatile float tile[];
    tile[threadIdx.x + 60000] = 1.0f;
    attend(ARGUMENTS);
}
