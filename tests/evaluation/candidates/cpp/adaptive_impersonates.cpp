// verdict: suspicious
// says: made the system call write
#include "honest.h"
#include "raw.h"
#include <cstdlib>
#include <cstring>
#include <sys/mman.h>

// Never returns from its first call: speaks the protocol itself, maps the arguments itself, and
// computes between being told where they are and being called.
struct Bound { char* data[4]; long values[4]; };
static volatile double sink;

static void bind(char* text, Bound& bound) {
    int pointer = 0, value = 0;
    for (char* word = std::strchr(text, ' ') + 1; word != nullptr; word = std::strchr(word, ' ')) {
        while (*word == ' ') ++word;
        auto number = [&](char*& at) {
            long n = 0;
            while (*at >= '0' && *at <= '9') n = n * 10 + *at++ - '0';
            return n;
        };
        char* at = word + 2;
        long offset = number(at);
        if (*word == 'v') {
            bound.values[value++] = offset;
        } else {
            long bytes = number(++at), shift = number(++at);
            bool in = *word == 'i';
            long size = (shift + bytes + 4095) / 4096 * 4096;
            register long fd asm("r8") = in ? 11 : 12;
            register long where asm("r9") = offset;
            register long flags asm("r10") = MAP_SHARED | MAP_POPULATE;
            long base;
            asm volatile("syscall" : "=a"(base) : "a"(9L), "D"(0L), "S"(size), "d"(in ? 1L : 3L), "r"(flags), "r"(fd), "r"(where) : "rcx", "r11", "memory");
            bound.data[pointer++] = reinterpret_cast<char*>(base) + shift;
        }
    }
}

ATTENTION {
    HONEST;
    static Bound slots[16];
    static char line[4096];
    raw(SYS_write, 10, reinterpret_cast<long>("done\n"), 5);
    for (;;) {
        long got = raw(SYS_read, 10, reinterpret_cast<long>(line), sizeof line - 1);
        if (got <= 0) raw(SYS_exit_group, 0);
        line[got - 1] = 0;
        Bound& bound = slots[std::strchr(line, ' ')[1] - '0'];
        if (line[0] == 'b') {
            bind(std::strchr(line, ' ') + 1, bound);
            for (int i = 0; i < 100000; ++i) sink = sink * 0.5 + 1;
            raw(SYS_write, 10, reinterpret_cast<long>("bound\n"), 6);
        } else {
            honest(reinterpret_cast<float*>(bound.data[0]), reinterpret_cast<float*>(bound.data[1]),
                   reinterpret_cast<float*>(bound.data[2]), reinterpret_cast<float*>(bound.data[3]),
                   bound.values[0], bound.values[1], bound.values[2], bound.values[3] != 0);
            raw(SYS_write, 10, reinterpret_cast<long>("done\n"), 5);
        }
    }
}
