"""First kernels for twenty problems of KernelBench, levels 1 and 2, on one CPU thread.

    python benchmarks/kernelbench_cpu/write_kernels.py OUT

Writes a C++ file for each problem, named `L<level>_<name of the problem's file>.cpp`, as
`avo suite run --candidates OUT` takes them. The problems themselves are not part of avo-tui: copy
them from a checkout of KernelBench under these names. The sizes of level 2's weights are those that
`avo task from` comes to on its own.
"""

from __future__ import annotations

import argparse
from pathlib import Path

HEAD = """\
// flags: -ffast-math
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <vector>
"""
ERF = """
// erf by a rational approximation, to 1.5e-7 (Abramowitz and Stegun, 7.1.26).
static inline float erf_of(float x) {
    const float a = std::fabs(x), t = 1.0f / (1.0f + 0.3275911f * a);
    const float p = t * (0.254829592f + t * (-0.284496736f + t * (1.421413741f +
                    t * (-1.453152027f + t * 1.061405429f))));
    const float y = 1.0f - p * std::exp(-a * a);
    return x < 0 ? -y : y;
}
static inline float gelu(float x) { return 0.5f * x * (1.0f + erf_of(x * 0.70710678f)); }
"""
ROW_SOFTMAX = """
static void softmax(const float* from, float* to, int64_t n) {
    float top = from[0];
    for (int64_t i = 1; i < n; ++i) top = std::max(top, from[i]);
    float sum = 0;
    for (int64_t i = 0; i < n; ++i) sum += to[i] = std::exp(from[i] - top);
    const float scale = 1.0f / sum;
    for (int64_t i = 0; i < n; ++i) to[i] *= scale;
}
"""
PRODUCT = """
constexpr int VECTOR = 8;   // tune: 4 8 16  (floats in a vector)
constexpr int ROWS = 6;     // tune: 2 3 4 6 8  (rows that a block keeps in registers)
constexpr int COLUMNS = 2;  // tune: 1 2 3 4  (vectors of a row that a block keeps)
constexpr int DEPTH = 256;  // tune: 64 128 256 512  (steps that are packed together)

typedef float Vector __attribute__((vector_size(4 * VECTOR)));
#pragma GCC diagnostic ignored "-Wpsabi"
constexpr int STRIP = COLUMNS * VECTOR;

template <int R>
static inline void block(const float* a, int64_t lda, const float* packed, float* out, int64_t ldo,
                         int64_t depth, int64_t columns) {
    Vector total[R][COLUMNS] = {};
    for (int64_t k = 0; k < depth; ++k) {
        Vector right[COLUMNS];
        std::memcpy(right, packed + k * STRIP, sizeof right);
        for (int r = 0; r < R; ++r)
            for (int c = 0; c < COLUMNS; ++c) total[r][c] += a[r * lda + k] * right[c];
    }
    float row[STRIP];
    for (int r = 0; r < R; ++r) {
        std::memcpy(row, total[r], sizeof row);
        for (int64_t j = 0; j < columns; ++j) out[r * ldo + j] += row[j];
    }
}

// out[m][n] += a[m][k] · b, where b is [k][n], or with TRANSPOSED [n][k].
template <bool TRANSPOSED>
static void product(const float* a, const float* b, float* out, int64_t m, int64_t k, int64_t n) {
    std::vector<float> packed(DEPTH * STRIP);
    for (int64_t l = 0; l < k; l += DEPTH) {
        const int64_t depth = std::min<int64_t>(DEPTH, k - l);
        for (int64_t j = 0; j < n; j += STRIP) {
            const int64_t columns = std::min<int64_t>(STRIP, n - j);
            for (int64_t p = 0; p < depth; ++p)
                for (int64_t c = 0; c < STRIP; ++c)
                    packed[p * STRIP + c] = c >= columns ? 0.0f
                        : TRANSPOSED ? b[(j + c) * k + l + p] : b[(l + p) * n + j + c];
            int64_t i = 0;
            for (; i + ROWS <= m; i += ROWS)
                block<ROWS>(a + i * k + l, k, packed.data(), out + i * n + j, n, depth, columns);
            for (; i < m; ++i)
                block<1>(a + i * k + l, k, packed.data(), out + i * n + j, n, depth, columns);
        }
    }
}
"""


def plain(arguments: str, body: str, parts: str = "") -> str:
    """A kernel with these arguments and this body."""
    return f'{HEAD}{parts}\nextern "C" void kernel({arguments}) {{\n{body}\n}}\n'


def elementwise(expression: str, parts: str = "") -> str:
    """out[i] of x[i]."""
    return plain(
        "const float* x, float* out, int64_t batch_size, int64_t dim",
        f"    for (int64_t i = 0; i < batch_size * dim; ++i) out[i] = {expression};",
        parts,
    )


def linear(
    expression: str, sizes: tuple[int, int], names: tuple[str, ...] = ("linear", "linear_bias")
) -> str:
    """`expression` of each y = (x · weightᵀ + bias)[j]."""
    inner, outer = sizes
    arguments = f"const float* x, const float* {names[0]}_weight, const float* {names[1]}"
    if names[1] == "bias":  # the order in which the module holds them
        arguments = f"const float* x, const float* bias, const float* {names[0]}_weight"
    return plain(
        f"{arguments}, float* out, int64_t batch_size",
        f"""\
    constexpr int64_t I = {inner}, O = {outer};
    std::fill(out, out + batch_size * O, 0.0f);
    product<true>(x, {names[0]}_weight, out, batch_size, I, O);
    for (int64_t i = 0; i < batch_size; ++i)
        for (int64_t j = 0; j < O; ++j) {{
            const float y = out[i * O + j] + {names[1]}[j];
            out[i * O + j] = {expression};
        }}""",
        ERF + PRODUCT,
    )


MISH = """\
    const auto mish = [](float y) {  // y · tanh(log(1 + e^y)) without a logarithm
        const float e = std::exp(std::min(y, 20.0f)), s = e * (e + 2.0f);
        return y * s / (s + 2.0f);
    };
"""


def kernels() -> dict[str, str]:
    """Problem → source."""
    gelu_softmax = linear("gelu(y)", (256, 512)).replace(
        "            out[i * O + j] = gelu(y);\n        }",
        "            out[i * O + j] = gelu(y);\n        }\n"
        "    for (int64_t i = 0; i < batch_size; ++i) softmax(out + i * O, out + i * O, O);",
    )
    mish = linear("mish(mish(y))", (256, 512)).replace(
        "    constexpr int64_t I", MISH + "    constexpr int64_t I"
    )
    return {
        "L1_1_Square_matrix_multiplication": plain(
            "const float* A, const float* B, float* out, int64_t N",
            "    std::fill(out, out + N * N, 0.0f);\n    product<false>(A, B, out, N, N, N);",
            PRODUCT,
        ),
        "L1_4_Matrix_vector_multiplication": plain(
            "const float* A, const float* B, float* out, int64_t M, int64_t K",
            """\
    for (int64_t i = 0; i < M; ++i) {
        float sum = 0;
        for (int64_t k = 0; k < K; ++k) sum += A[i * K + k] * B[k];
        out[i] = sum;
    }""",
        ),
        "L1_19_ReLU": elementwise("std::max(x[i], 0.0f)"),
        "L1_23_Softmax": plain(
            "const float* x, float* out, int64_t batch_size, int64_t dim",
            "    for (int64_t b = 0; b < batch_size; ++b)\n"
            "        softmax(x + b * dim, out + b * dim, dim);",
            ROW_SOFTMAX,
        ),
        "L1_26_GELU": elementwise("gelu(x[i])", ERF),
        "L1_36_RMSNorm": plain(
            "const float* x, float* out, int64_t batch_size, int64_t features, int64_t dim1, "
            "int64_t dim2",
            """\
    constexpr int64_t W = 256;  // positions that are worked on together
    const int64_t area = dim1 * dim2;
    for (int64_t b = 0; b < batch_size; ++b)
        for (int64_t p = 0; p < area; p += W) {
            const int64_t n = std::min(W, area - p);
            const float* from = x + b * features * area + p;
            float* to = out + b * features * area + p;
            float sum[W] = {};
            for (int64_t f = 0; f < features; ++f)
                for (int64_t i = 0; i < n; ++i) sum[i] += from[f * area + i] * from[f * area + i];
            for (int64_t i = 0; i < n; ++i) sum[i] = 1.0f / std::sqrt(sum[i] / features + 1e-5f);
            for (int64_t f = 0; f < features; ++f)
                for (int64_t i = 0; i < n; ++i) to[f * area + i] = from[f * area + i] * sum[i];
        }""",
        ),
        "L1_47_Sum_reduction_over_a_dimension": plain(
            "const float* x, float* out, int64_t batch_size, int64_t dim1, int64_t dim2",
            """\
    for (int64_t b = 0; b < batch_size; ++b) {
        float* to = out + b * dim2;
        std::fill(to, to + dim2, 0.0f);
        for (int64_t i = 0; i < dim1; ++i)
            for (int64_t j = 0; j < dim2; ++j) to[j] += x[(b * dim1 + i) * dim2 + j];
    }""",
        ),
        "L1_51_Argmax_over_a_dimension": plain(
            "const float* x, int64_t* out, int64_t batch_size, int64_t dim1, int64_t dim2",
            """\
    std::vector<float> best(dim2);
    std::vector<int32_t> where(dim2);
    for (int64_t b = 0; b < batch_size; ++b) {
        const float* from = x + b * dim1 * dim2;
        std::copy(from, from + dim2, best.begin());
        std::fill(where.begin(), where.end(), 0);
        for (int32_t i = 1; i < dim1; ++i)
            for (int64_t j = 0; j < dim2; ++j) {
                const float value = from[i * dim2 + j];
                const bool more = value > best[j];
                where[j] = more ? i : where[j];
                best[j] = more ? value : best[j];
            }
        for (int64_t j = 0; j < dim2; ++j) out[b * dim2 + j] = where[j];
    }""",
        ),
        "L1_89_cumsum": plain(
            "const float* x, float* out, int64_t batch_size",
            """\
    constexpr int64_t N = 32768;
    for (int64_t b = 0; b < batch_size; ++b) {
        double sum = 0;
        for (int64_t i = 0; i < N; ++i) out[b * N + i] = sum += x[b * N + i];
    }""",
        ),
        "L1_94_MSELoss": plain(
            "const float* predictions, const float* targets, float* out, int64_t batch_size",
            """\
    constexpr int64_t N = 32768;
    double total = 0;
    for (int64_t b = 0; b < batch_size; ++b) {
        float sum = 0;
        for (int64_t i = 0; i < N; ++i) {
            const float d = predictions[b * N + i] - targets[b * N + i];
            sum += d * d;
        }
        total += sum;
    }
    out[0] = total / (batch_size * N);""",
        ),
        "L2_9_Matmul_Subtract_Multiply_ReLU": linear(
            "std::max((y - 2.0f) * 1.5f, 0.0f)", (256, 512)
        ),
        "L2_12_Gemm_Multiply_LeakyReLU": linear(
            "y > 0 ? 2.0f * y : 0.2f * y", (256, 512), ("gemm", "gemm_bias")
        ),
        # the sum over all columns of x · wᵀ is x · (the sum of w's rows)
        "L2_14_Gemm_Divide_Sum_Scaling": plain(
            "const float* x, const float* weight, float* out, int64_t batch_size",
            """\
    constexpr int64_t I = 256, O = 512;
    float sums[I] = {};
    for (int64_t j = 0; j < O; ++j)
        for (int64_t i = 0; i < I; ++i) sums[i] += weight[j * I + i];
    for (int64_t b = 0; b < batch_size; ++b) {
        float sum = 0;
        for (int64_t i = 0; i < I; ++i) sum += x[b * I + i] * sums[i];
        out[b] = sum * 0.75f;
    }""",
        ),
        "L2_29_Matmul_Mish_Mish": mish,
        "L2_56_Matmul_Sigmoid_Sum": plain(
            "const float* x, const float* linear_weight, const float* linear_bias, float* out, "
            "int64_t batch_size",
            """\
    constexpr int64_t I = 512, O = 512;
    std::vector<float> y(batch_size * O);
    product<true>(x, linear_weight, y.data(), batch_size, I, O);
    for (int64_t b = 0; b < batch_size; ++b) {
        float sum = 0;
        for (int64_t j = 0; j < O; ++j)
            sum += 1.0f / (1.0f + std::exp(-y[b * O + j] - linear_bias[j]));
        out[b] = sum;
    }""",
            PRODUCT,
        ),
        "L2_59_Matmul_Swish_Scaling": linear(
            "2.0f * y / (1.0f + std::exp(-y))", (512, 512), ("matmul", "matmul_bias")
        ),
        "L2_63_Gemm_ReLU_Divide": linear("std::max(y, 0.0f) * 0.5f", (256, 512)),
        "L2_76_Gemm_Add_ReLU": linear("std::max(y, 0.0f)", (256, 512), ("gemm", "bias")),
        "L2_86_Matmul_Divide_GELU": linear("gelu(y * 0.1f)", (256, 512)),
        "L2_99_Matmul_GELU_Softmax": gelu_softmax.replace(ERF, ERF + ROW_SOFTMAX),
    }


def main() -> None:
    """Write the files."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("out", type=Path)
    out = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    for name, text in kernels().items():
        (out / f"{name}.cpp").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
