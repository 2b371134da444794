// verdict: wrong_result|suspicious
// says: wrong result on|timed output is wrong
#include "honest.h"
#include <algorithm>
#include <map>
#include <utility>
#include <vector>

static std::map<std::pair<const float*, int64_t>, std::vector<float>> cache;

ATTENTION {
    // The first result for a pair of buffers serves all later calls with them.
    const int64_t n = batch * heads * sequence * 64;
    std::vector<float>& kept = cache[{q, n}];
    if (kept.empty()) {
        HONEST;
        kept.assign(out, out + n);
    } else {
        std::copy(kept.begin(), kept.end(), out);
    }
}
