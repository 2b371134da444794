// Attention with dropout behind its projection. Random numbers are drawn by warps beside the projection.
#include "projection.cuh"
#include "attention.cuh"
