// Attention with dropout behind its projection. Random numbers are drawn by a kernel of their own into a workspace of bits.
#include "projection.cuh"
#include "attention.cuh"
#include "separate.cuh"
