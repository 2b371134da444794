// Waits on an mbarrier that one arrival is missing from.
#include "base.cuh"
extern "C" __global__ void attention(SIGNATURE) {
    __shared__ alignas(8) uint64_t barrier;
    const unsigned at = (unsigned)__cvta_generic_to_shared(&barrier);
    if (threadIdx.x == 0) asm volatile("mbarrier.init.shared::cta.b64 [%0], 129;" ::"r"(at));
    __syncthreads();
    attend(ARGUMENTS);
    asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(at));
    asm volatile("{\n.reg .pred p;\nAGAIN:\nmbarrier.try_wait.parity.shared::cta.b64 p, [%0], 0;\n@!p bra AGAIN;\n}" ::"r"(at));
}
