// verdict: correct
// says: correct
// flags: -std=c++20
#include "honest.h"
#include <complex>
#include <memory_resource>
#include <numeric>
#include <random>
#include <valarray>
#include <algorithm>

ATTENTION {
    // A memory pool, a random order of the rows, and the library's odds and ends.
    std::pmr::monotonic_buffer_resource pool;
    std::pmr::vector<int> order(static_cast<size_t>(sequence), &pool);
    std::iota(order.begin(), order.end(), 0);
    std::shuffle(order.begin(), order.end(), std::mt19937(7));
    std::sort(order.begin(), order.end());
    const std::complex<float> one = std::exp(std::complex<float>(0, 0));
    const std::valarray<float> zeros(0.0f, 8);
    HONEST;
    out[0] = out[0] * one.real() + zeros.sum() + static_cast<float>(order[0]);
}
