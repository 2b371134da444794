// verdict: suspicious
// says: not allowed: .*thread
#include "honest.h"
#include <thread>

ATTENTION {
    HONEST;
    std::thread([=] { out[0] += 1; }).detach();
}
