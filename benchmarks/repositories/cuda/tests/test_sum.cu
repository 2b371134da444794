#include "../src/sum.h"
#include <cstdio>
#include <vector>

int main() {
    for (int n : {1, 255, 256, 257, 100003}) {
        std::vector<float> host(n);
        double wanted = 0;
        for (int i = 0; i < n; i++) host[i] = i % 4, wanted += i % 4 * (i % 4);
        float *values, *result, found = -1;
        if (cudaMalloc(&values, n * sizeof(float)) || cudaMalloc(&result, sizeof(float)))
            return std::puts("FAIL: device"), 1;
        cudaMemcpy(values, host.data(), n * sizeof(float), cudaMemcpyHostToDevice);
        int failed = sum_of_squares(values, n, result);
        cudaMemcpy(&found, result, sizeof(float), cudaMemcpyDeviceToHost);
        if (failed || found != wanted)
            return std::printf("FAIL: sum_of_%d (%g, not %g)\n", n, found, wanted), 1;
        cudaFree(values), cudaFree(result);
    }
    return std::puts("PASS: 5 sizes"), 0;
}
