// Attention with dropout behind its projection in fp8, head_dim 128. The plain version, in two kernels:
// Y = X W^T times both scales, rounded to bf16, by tiles in shared memory, and attention on Y with an online softmax that draws its random numbers itself.
#include <cuda_bf16.h>
#include <cuda_fp8.h>
#include "philox.cuh"

#define TILE 64    // rows and columns of Y that a block computes
#define DEPTH 16   // of a step of the projection
#define ROWS 32    // tune: 8 16 32 64 128  (query rows of a block of attention)

// Grid (columns / TILE, tokens / TILE), 256 threads of 4 x 4 results each.
extern "C" __global__ void __launch_bounds__(256)
projection(const __nv_fp8_e4m3* x, const __nv_fp8_e4m3* w, const float* x_scale, const float* w_scale, __nv_bfloat16* y,
           int hidden, int columns) {
    __shared__ float xs[DEPTH][TILE + 4], ws[DEPTH][TILE + 4];
    const int column0 = blockIdx.x * TILE, token0 = blockIdx.y * TILE;
    const int tx = threadIdx.x % 16, ty = threadIdx.x / 16;
    float acc[4][4] = {};
    for (int k0 = 0; k0 < hidden; k0 += DEPTH) {
        for (int i = threadIdx.x; i < TILE * DEPTH; i += 256) {
            const int k = i % DEPTH, r = i / DEPTH;
            xs[k][r] = float(x[(long long)(token0 + r) * hidden + k0 + k]);
            ws[k][r] = float(w[(long long)(column0 + r) * hidden + k0 + k]);
        }
        __syncthreads();
        for (int k = 0; k < DEPTH; ++k)
            for (int i = 0; i < 4; ++i)
                for (int j = 0; j < 4; ++j) acc[i][j] += xs[k][ty * 4 + i] * ws[k][tx * 4 + j];
        __syncthreads();
    }
    const float scale = *x_scale * *w_scale;
    for (int i = 0; i < 4; ++i)
        for (int j = 0; j < 4; ++j)
            y[(long long)(token0 + ty * 4 + i) * columns + column0 + tx * 4 + j] = __float2bfloat16(acc[i][j] * scale);
}

__device__ void load8(const __nv_bfloat16* p, float (&x)[8]) {
    const uint4 raw = *reinterpret_cast<const uint4*>(p);
    const __nv_bfloat162* h = reinterpret_cast<const __nv_bfloat162*>(&raw);
    for (int i = 0; i < 4; ++i) {
        const float2 f = __bfloat1622float2(h[i]);
        x[2 * i] = f.x;
        x[2 * i + 1] = f.y;
    }
}

// Four lanes share a query row, 32 dimensions each. Grid (seq / ROWS, heads, batch), 4 * ROWS threads.
extern "C" __global__ void __launch_bounds__(4 * ROWS)
attention(const __nv_bfloat16* y, __nv_bfloat16* out, const uint32_t* seed, int seq, int heads, int kv_heads) {
    const int head = blockIdx.y, b = blockIdx.z, kv_head = head / (heads / kv_heads);
    const int row = blockIdx.x * ROWS + threadIdx.x / 4, part = threadIdx.x % 4;
    const int columns = (heads + 2 * kv_heads) * 128;
    const __nv_bfloat16* q = y + ((long long)b * seq + row) * columns + head * 128 + part * 8;
    const __nv_bfloat16* k = y + (long long)b * seq * columns + (heads + kv_head) * 128 + part * 8;
    const __nv_bfloat16* v = k + kv_heads * 128;
    const uint2 key_of_generator = make_uint2(seed[0], seed[1]);
    const float scale = 0.08838834764831845f;

    float qr[4][8], acc[4][8], x[8];
    for (int i = 0; i < 4; ++i) {
        load8(q + i * 32, qr[i]);
        for (int j = 0; j < 8; ++j) acc[i][j] = 0.0f;
    }
    float m = -INFINITY, sum = 0.0f;
    for (int pair = 0; pair < seq; pair += 2) {
        const uint2 words = words_of_pair(row, pair, b * heads + head, key_of_generator);
        for (int key = pair; key < pair + 2; ++key) {
            float s = 0.0f;
            for (int i = 0; i < 4; ++i) {
                load8(k + (long long)key * columns + i * 32, x);
                for (int j = 0; j < 8; ++j) s += qr[i][j] * x[j];
            }
            s += __shfl_xor_sync(0xffffffffu, s, 1);
            s += __shfl_xor_sync(0xffffffffu, s, 2);
            s *= scale;
            const float m_new = fmaxf(m, s), factor = __expf(m - m_new), p = __expf(s - m_new);
            m = m_new;
            sum = sum * factor + p;  // dropped keys count in the denominator
            const float kept = (key == pair ? words.x : words.y) >= DROP_BELOW ? p : 0.0f;
            for (int i = 0; i < 4; ++i) {
                load8(v + (long long)key * columns + i * 32, x);
                for (int j = 0; j < 8; ++j) acc[i][j] = acc[i][j] * factor + kept * x[j];
            }
        }
    }
    const float inverse = 1.0f / (sum * 0.9f);
    __nv_bfloat16* o = out + (((long long)b * seq + row) * heads + head) * 128 + part * 8;
    for (int i = 0; i < 4; ++i) {
        uint4 raw;
        __nv_bfloat162* h = reinterpret_cast<__nv_bfloat162*>(&raw);
        for (int j = 0; j < 4; ++j) h[j] = __floats2bfloat162_rn(acc[i][2 * j] * inverse, acc[i][2 * j + 1] * inverse);
        *reinterpret_cast<uint4*>(o + i * 32) = raw;
    }
}
