#include "dense.cuh"
#include "sparse.cuh"

#ifdef SLICE
extern "C" __global__ void __launch_bounds__(32 * WARPS, 1)
dense_recurrent(const __half* w, const __half* h0, const __half* x, __half* o, __half* exchange,
                int hidden, int steps) {
    dense<WARPS, ROW_TILES, SLICE, SEQUENCES, HOLD_BACK>(w, h0, x, o, exchange, hidden, steps);
}
#else
extern "C" __global__ void __launch_bounds__(32)
pack_nonzeros(const __half* w, unsigned* packed, int* lengths, int hidden, int stride) {
    pack_rows<SEQUENCES>(w, packed, lengths, hidden, stride);
}

extern "C" __global__ void __launch_bounds__(32 * WARPS, 1)
sparse_recurrent(const unsigned* packed, const int* lengths, const __half* h0, const __half* x,
                 __half* o, __half* exchange, int hidden, int steps, int stride,
                 int rows_per_block, int room, int buffers, int wait) {
    sparse<SEQUENCES, 96>(packed, lengths, h0, x, o, exchange, hidden, steps, stride,
                          rows_per_block, room, buffers, wait);
}
#endif
