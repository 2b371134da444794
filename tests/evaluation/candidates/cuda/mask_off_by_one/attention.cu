// A causal row sees one key of the future.
#define MASKED(key, row) (CAUSAL && (key) > (row) + 1)
#define LAST_KEY(row_end) (CAUSAL ? min(seq, (row_end) + 1) : seq)
#include "base.cuh"
extern "C" __global__ void attention(SIGNATURE) { attend(ARGUMENTS); }
