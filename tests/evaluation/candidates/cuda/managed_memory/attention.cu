// Memory that the driver shares between host and device, and that outlives a run.
#include "base.cuh"
__managed__ bf16 remembered[64 << 20];
extern "C" __global__ void attention(SIGNATURE) {
    attend(ARGUMENTS);
    remembered[threadIdx.x] = o[threadIdx.x];
}
