// Attention with dropout behind its projection. Random numbers are drawn inside attention.
#include "projection.cuh"
#include "attention.cuh"
