/* Milliseconds of one call on 16 Mi floats that are made from a seed: bench_sum SEED */
#include "../src/sum.h"
#include <cstdio>
#include <cstdlib>
#include <random>
#include <vector>

/* Says which call failed, and why: 1, as the exit code. */
static int failed(const char *call) {
    return std::fprintf(stderr, "%s: %s\n", call, cudaGetErrorString(cudaGetLastError())), 1;
}

int main(int count, char **given) {
    const int n = 1 << 24, calls = 20;
    std::mt19937 random(count > 1 ? std::atoi(given[1]) : 1);
    std::vector<float> host(n);
    for (float &value : host) value = random() % 4;
    float *values, *result;
    if (cudaMalloc(&values, n * sizeof(float)) || cudaMalloc(&result, sizeof(float)))
        return failed("cudaMalloc");
    cudaMemcpy(values, host.data(), n * sizeof(float), cudaMemcpyHostToDevice);
    cudaEvent_t begin, end;
    cudaEventCreate(&begin), cudaEventCreate(&end);
    std::printf("{\"sum\": [");
    for (int call = -2; call < calls; call++) {
        float ms;
        cudaEventRecord(begin);
        if (sum_of_squares(values, n, result)) return failed("sum_of_squares");
        cudaEventRecord(end), cudaEventSynchronize(end), cudaEventElapsedTime(&ms, begin, end);
        if (call >= 0) std::printf("%s%.5f", call ? ", " : "", ms);
    }
    std::puts("]}");
    return 0;
}
