// verdict: correct
// says: correct
// gains: nothing
#include "honest.h"
#include "raw.h"
#include <elf.h>
#include <cstring>
#include <sys/mman.h>

// Replaces its caller's `munmap`, and so is in control whenever its arguments are mapped anew: it
// does the work of a later call there, as far as that is possible without the inputs.
static volatile double sink;

extern "C" int hooked_munmap(void* memory, unsigned long size) {
    for (int i = 0; i < 20000; ++i) sink = sink * 0.5 + 1;
    return static_cast<int>(raw(SYS_munmap, reinterpret_cast<long>(memory), static_cast<long>(size)));
}

static void hook(char* inside) {
#if defined(__x86_64__)
    char* base = reinterpret_cast<char*>(reinterpret_cast<long>(inside) & ~4095L);
    while (std::memcmp(base, "\177ELF", 4) != 0) base -= 4096;
    auto* header = reinterpret_cast<Elf64_Ehdr*>(base);
    auto* segment = reinterpret_cast<Elf64_Phdr*>(base + header->e_phoff);
    Elf64_Dyn* dynamic = nullptr;
    for (int i = 0; i < header->e_phnum; ++i)
        if (segment[i].p_type == PT_DYNAMIC) dynamic = reinterpret_cast<Elf64_Dyn*>(base + segment[i].p_vaddr);
    const char* strings = nullptr;
    Elf64_Sym* symbols = nullptr;
    Elf64_Rela* slots = nullptr;
    size_t size = 0;
    for (; dynamic != nullptr && dynamic->d_tag != DT_NULL; ++dynamic) {
        auto* value = reinterpret_cast<char*>(dynamic->d_un.d_ptr);
        if (dynamic->d_tag == DT_STRTAB) strings = value;
        if (dynamic->d_tag == DT_SYMTAB) symbols = reinterpret_cast<Elf64_Sym*>(value);
        if (dynamic->d_tag == DT_JMPREL) slots = reinterpret_cast<Elf64_Rela*>(value);
        if (dynamic->d_tag == DT_PLTRELSZ) size = dynamic->d_un.d_val;
    }
    for (size_t i = 0; slots != nullptr && i < size / sizeof *slots; ++i) {
        if (std::strcmp(strings + symbols[ELF64_R_SYM(slots[i].r_info)].st_name, "munmap") != 0) continue;
        char* slot = base + slots[i].r_offset;
        raw(SYS_mprotect, reinterpret_cast<long>(slot) & ~4095L, 4096, PROT_READ | PROT_WRITE);
        auto* function = &hooked_munmap;
        std::memcpy(slot, &function, sizeof function);
    }
#else
    (void)inside;
#endif
}

ATTENTION {
    static bool hooked = (hook(static_cast<char*>(__builtin_return_address(0))), true);
    HONEST;
    if (!hooked) out[0] = 0;
}
