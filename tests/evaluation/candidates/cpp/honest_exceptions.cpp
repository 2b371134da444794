// verdict: correct
// says: correct
#include "honest.h"
#include <stdexcept>
#include <string>

static int checked(int64_t sequence) {
    if (sequence > 0) throw std::runtime_error("of length " + std::to_string(sequence));
    return 1;
}

ATTENTION {
    try {
        checked(sequence);
    } catch (const std::exception& error) {
        if (error.what()[0] == 'o') HONEST;
    }
}
