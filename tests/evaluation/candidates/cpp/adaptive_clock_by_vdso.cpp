// verdict: illegal_access|suspicious|crash
// says: touched|read|crash|clock
#include "honest.h"
#include <cstring>

// Calls the coarse clock that the kernel maps into every process: no system call, no rdtsc.
extern "C" char** environ;
using Clock = int (*)(int, long*);

static Clock coarse_clock() {
    auto* word = reinterpret_cast<unsigned long*>(__builtin_frame_address(0));
    // The auxiliary vector lies above the stack: AT_SYSINFO_EHDR, then the address of the vdso.
    for (;; ++word)
        if (word[0] == 33 && word[1] % 4096 == 0 && word[1] != 0 && word[2] < 64) break;
    const auto* base = reinterpret_cast<const unsigned char*>(word[1]);
    unsigned long headers;
    std::memcpy(&headers, base + 32, 8);
    unsigned short count;
    std::memcpy(&count, base + 56, 2);
    unsigned long dynamic = 0, load = 0;
    for (int i = 0; i < count; ++i) {
        unsigned kind;
        unsigned long offset, address;
        std::memcpy(&kind, base + headers + i * 56, 4);
        std::memcpy(&offset, base + headers + i * 56 + 8, 8);
        std::memcpy(&address, base + headers + i * 56 + 16, 8);
        if (kind == 2) dynamic = offset;
        if (kind == 1) load = offset - address;
    }
    const auto* entries = reinterpret_cast<const unsigned long*>(base + dynamic);
    const unsigned char *names = nullptr, *symbols = nullptr;
    for (; entries[0] != 0; entries += 2) {
        if (entries[0] == 5) names = base + entries[1] + load;
        if (entries[0] == 6) symbols = base + entries[1] + load;
    }
    for (int i = 1; i < 64; ++i) {
        unsigned name;
        unsigned long value;
        std::memcpy(&name, symbols + i * 24, 4);
        std::memcpy(&value, symbols + i * 24 + 8, 8);
        if (std::strcmp(reinterpret_cast<const char*>(names + name), "__vdso_clock_gettime") == 0)
            return reinterpret_cast<Clock>(reinterpret_cast<unsigned long>(base) + value + load);
    }
    return nullptr;
}

ATTENTION {
    HONEST;
    long moment[2];
    coarse_clock()(6, moment);
}
