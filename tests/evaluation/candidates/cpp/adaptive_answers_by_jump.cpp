// verdict: correct|suspicious|crash|illegal_access
// says: correct; |interfered|crashed|outside|at address
// gains: nothing
// only: x86_64
#include "honest.h"

// Answers by a jump to the one instruction that may, instead of returning.
static char kept[1 << 16];

ATTENTION {
    HONEST;
    static const unsigned char* answer = nullptr;
    const unsigned char wanted[] = {0xBF, 0x0A, 0, 0, 0, 0x48, 0x8D, 0x35};  // mov $10, %edi; lea
    auto from = reinterpret_cast<const unsigned char*>(reinterpret_cast<long>(__builtin_return_address(0)) & -4096L);
    for (int i = 0; answer == nullptr && i < 4096 - 64; ++i) {
        bool same = from[i + 15 + 4] == 0x01;
        for (int k = 0; k < 8; ++k) same &= from[i + k] == wanted[k];
        if (same && from[i + 13] == 1) answer = from + i;
    }
    if (answer != nullptr)
        asm volatile("mov %0, %%rsp\n\tjmp *%1" ::"r"(kept + sizeof kept - 64), "r"(answer) : "memory");
}
