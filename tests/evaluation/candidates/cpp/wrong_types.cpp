// verdict: compile_error
// says: attention has other types than the task's; it must be: extern "C" void attention\(const float\* q,
#include <cstdint>

extern "C" void attention(const double*, const double*, const double*, double*, int64_t, int64_t,
                          int64_t, bool) {}
