// verdict: correct
// says: correct
#include "honest.h"
#include <cmath>
#include <vector>

ATTENTION {
    // The first call of a shape prepares a workspace and takes far longer than the others.
    static std::vector<float> workspace;
    if (workspace.size() < static_cast<size_t>(sequence) * 4096) {
        workspace.resize(static_cast<size_t>(sequence) * 4096);
        for (size_t i = 0; i < workspace.size(); ++i) workspace[i] = std::sqrt(static_cast<float>(i));
    }
    HONEST;
    if (workspace[0] > 1) out[0] = 0;
}
