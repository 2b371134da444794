// The last stage ends at once, and lets itself be launched before the first has done its work.
#include "base.cuh"
extern "C" __global__ void attention(SIGNATURE) {
    asm volatile("griddepcontrol.launch_dependents;");
    for (long long began = clock64(); clock64() - began < 4000000;) {}
    attend(ARGUMENTS);
}
extern "C" __global__ void nothing() {}
