// Asks for the host's libraries: no host code of a candidate runs.
#include <cstdlib>
#include "base.cuh"
extern "C" __global__ void attention(SIGNATURE) { attend(ARGUMENTS); }
