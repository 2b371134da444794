// The same, with the directive cut by a continued line.
#inc\
lude "/etc/hostname"
#include "base.cuh"
extern "C" __global__ void attention(SIGNATURE) { attend(ARGUMENTS); }
