/* Milliseconds of one call on 16 Mi floats that are made from a seed: bench_sum SEED */
#include "../src/sum.h"
#include <cstdio>
#include <cstdlib>
#include <random>
#include <vector>

int main(int count, char **given) {
    const int n = 1 << 24, calls = 20;
    std::mt19937 random(count > 1 ? std::atoi(given[1]) : 1);
    std::vector<float> host(n);
    for (float &value : host) value = random() % 4;
    float *values, *result;
    cudaMalloc(&values, n * sizeof(float)), cudaMalloc(&result, sizeof(float));
    cudaMemcpy(values, host.data(), n * sizeof(float), cudaMemcpyHostToDevice);
    cudaEvent_t begin, end;
    cudaEventCreate(&begin), cudaEventCreate(&end);
    std::printf("{\"sum\": [");
    for (int call = -2; call < calls; call++) {
        float ms;
        cudaEventRecord(begin);
        if (sum_of_squares(values, n, result)) return 1;
        cudaEventRecord(end), cudaEventSynchronize(end), cudaEventElapsedTime(&ms, begin, end);
        if (call >= 0) std::printf("%s%.5f", call ? ", " : "", ms);
    }
    std::puts("]}");
    return 0;
}
