// verdict: correct
// says: correct
// gains: nothing
#include "honest.h"
#include "raw.h"

// Defines functions of the C library under their own names, in the hope that its caller uses them
// between the calls, and works there.
static volatile double sink;
static void work() { for (int i = 0; i < 20000; ++i) sink = sink * 0.5 + 1; }

extern "C" {
__attribute__((used)) long read(int fd, void* into, unsigned long size) {
    work();
    return raw(SYS_read, fd, reinterpret_cast<long>(into), static_cast<long>(size));
}
__attribute__((used)) long write(int fd, const void* from, unsigned long size) {
    work();
    return raw(SYS_write, fd, reinterpret_cast<long>(from), static_cast<long>(size));
}
__attribute__((used, weak)) int atoi(const char*) { return 1; }
__attribute__((used, weak)) unsigned _ZNSt6thread20hardware_concurrencyEv() { return 64; }
}

ATTENTION { HONEST; }
