// Overlap inside each of three warpgroups for full attention; causal as in exact_rescaling.
#ifndef CAUSAL
#define CAUSAL 0
#endif
#if CAUSAL
#include "exact.cuh"
#else
#include "overlap.cuh"
#endif
