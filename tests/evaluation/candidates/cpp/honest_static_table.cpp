// verdict: correct
// says: correct
#include "honest.h"
#include <array>
#include <cmath>
#include <map>
#include <string>
#include <unordered_map>
#include <functional>

// Tables that a constructor fills while the library is loaded.
static const std::array<float, 4096> table = [] {
    std::array<float, 4096> values{};
    for (size_t i = 0; i < values.size(); ++i) values[i] = std::exp(-static_cast<float>(i));
    return values;
}();
static const std::map<std::string, int> names = {{"tile", 64}, {"unroll", 4}};
static const std::unordered_map<int, std::function<float(float)>> functions = {
    {1, [](float x) { return x * table[0]; }}};

ATTENTION {
    HONEST;
    out[0] = functions.at(1)(out[0]) + static_cast<float>(names.at("tile") - 64);
}
