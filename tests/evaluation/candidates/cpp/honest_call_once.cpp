// verdict: correct
// says: correct
#include "honest.h"
#include <memory>
#include <mutex>
#include <vector>

static std::once_flag once;
static std::shared_ptr<std::vector<float>> table;

ATTENTION {
    // A table made at the first call, shared by a smart pointer, under a lock.
    std::call_once(once, [] { table = std::make_shared<std::vector<float>>(64, 0.0f); });
    static std::mutex mutex;
    const std::lock_guard<std::mutex> hold(mutex);
    std::shared_ptr<std::vector<float>> mine = table;
    std::weak_ptr<std::vector<float>> watched = mine;
    HONEST;
    out[0] += (*watched.lock())[0];
}
