// verdict: correct
// says: correct
#include "honest.h"
#include <algorithm>
#include <cstdlib>
#include <numeric>
#include <thread>
#include <unordered_map>
#include <vector>

static int descending(const void* a, const void* b) {
    const double x = *static_cast<const double*>(a), y = *static_cast<const double*>(b);
    return (x < y) - (x > y);
}

ATTENTION {
    std::vector<double> many(200000);
    std::iota(many.begin(), many.end(), 0.0);
    qsort(many.data(), many.size(), sizeof(double), descending);
    std::stable_sort(many.begin(), many.end());
    std::unordered_map<int, int> counts;
    for (int i = 0; i < 100; ++i) counts[i * 7919]++;
    HONEST;
    if (many[0] != 0 || std::thread::hardware_concurrency() > 100000) out[0] = 0;
}
