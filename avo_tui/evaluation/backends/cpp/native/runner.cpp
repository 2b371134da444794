// The process that runs a C++ candidate. It loads the shared object, binds its arguments to shared
// memory and calls it when told to. It knows inputs and sizes only: no reference, no baseline.
//
//   runner COMMAND_FD REPLY_FD INPUT_FD OUTPUT_FD THREADS [LIBRARY ENTRY]
//
// Commands, one a line, each answered by one line:
//   ping                         pong
//   spin MILLISECONDS            hz RATE        (dependent additions per second: the clock rate)
//   bind SLOT ARGUMENT…          bound          (i|o:OFFSET:BYTES:SHIFT, v:INTEGER or r:REAL)
//   call SLOT…                   t NANOSECONDS  (one call a slot; the sum of their times)
// Times are the thread's own processor time where THREADS is 1, so that other work on the machine
// does not count, and the time that passed otherwise.
// Unasked, before it dies:       fault SIGNAL ADDRESS ACCESS ARGUMENT OFFSET BYTES SLOT
//                                trap NAME NUMBER
//
// glue.h is generated from the task: ARGUMENTS (their number) and invoke(entry, values).

#include <cerrno>
#include <csignal>
#include <cstdarg>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <initializer_list>

#include <alloca.h>
#include <dlfcn.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

#include "confine.h"

union Value {
    void* pointer;
    int64_t integer;
    double real;
};

#include "glue.h"

namespace {

constexpr int SLOTS = 16;
constexpr size_t JUNK = 64 * 1024;  // bytes of stack filled with NaN patterns before a call

struct Region {
    char* reserved = nullptr;  // guard pages and all
    size_t reserved_bytes = 0;
    char* data = nullptr;
    size_t bytes = 0;
};

struct Slot {
    Value values[ARGUMENTS];
    Region regions[ARGUMENTS];
};

Slot slots[SLOTS];
int command_fd, reply_fd, input_fd, output_fd, current_slot = -1;
clockid_t call_clock = CLOCK_MONOTONIC;
size_t page;

void reply(const char* format, ...) {
    char text[512];
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(text, sizeof text - 1, format, arguments);
    va_end(arguments);
    text[length] = '\n';
    if (write(reply_fd, text, length + 1) != length + 1) _exit(3);
}

// The parent sends one line and waits for the answer, so nothing follows a line's end.
bool read_line(char* into, size_t capacity) {
    for (size_t length = 0; length + 1 < capacity;) {
        ssize_t got = read(command_fd, into + length, capacity - 1 - length);
        if (got <= 0) return false;
        length += static_cast<size_t>(got);
        if (into[length - 1] == '\n') {
            into[length - 1] = 0;
            return true;
        }
    }
    return false;
}

int64_t now(clockid_t clock = CLOCK_MONOTONIC) {
    timespec t;
    clock_gettime(clock, &t);
    return t.tv_sec * 1000000000LL + t.tv_nsec;
}

// The bound argument nearest to an address, and the distance from its beginning.
void on_fault(int signal, siginfo_t* info, void* context) {
    const char* access = "?";
#if defined(__x86_64__)
    auto* machine = &static_cast<ucontext_t*>(context)->uc_mcontext;
    if (signal == SIGSEGV) access = (machine->gregs[REG_ERR] & 2) ? "write" : "read";
#else
    (void)context;
#endif
    int nearest = -1;
    ptrdiff_t offset = 0;
    const char* address = static_cast<const char*>(info->si_addr);
    if ((signal == SIGSEGV || signal == SIGBUS) && current_slot >= 0) {
        for (int i = 0; i < ARGUMENTS; ++i) {
            const Region& r = slots[current_slot].regions[i];
            if (address >= r.reserved && address < r.reserved + r.reserved_bytes) {
                nearest = i;
                offset = address - r.data;
            }
        }
    }
    size_t bytes = nearest >= 0 ? slots[current_slot].regions[nearest].bytes : 0;
    reply("fault %d %#zx %s %d %td %zu %d", signal, reinterpret_cast<size_t>(info->si_addr), access,
          nearest, offset, bytes, current_slot);
    _exit(64 + signal);
}

void on_trap(int, siginfo_t* info, void*) {
    reply("trap %s %d", confine::name_of(info->si_syscall), info->si_syscall);
    _exit(64 + SIGSYS);
}

void install_handlers() {
    static char stack[64 * 1024];
    stack_t alternative = {};
    alternative.ss_sp = stack;
    alternative.ss_size = sizeof stack;
    sigaltstack(&alternative, nullptr);
    struct sigaction action = {};
    action.sa_flags = SA_SIGINFO | SA_ONSTACK;
    action.sa_sigaction = on_fault;
    for (int signal : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT}) sigaction(signal, &action, nullptr);
    action.sa_sigaction = on_trap;
    sigaction(SIGSYS, &action, nullptr);
}

// Maps BYTES at OFFSET of a file between two inaccessible pages. The data begins SHIFT bytes into
// the first page, chosen by the parent so that it ends as close to the second guard as it can.
bool bind_memory(Region& region, int fd, size_t offset, size_t bytes, size_t shift, int access) {
    if (region.reserved != nullptr) munmap(region.reserved, region.reserved_bytes);
    size_t body = (shift + bytes + page - 1) / page * page;
    region.reserved_bytes = body + 2 * page;
    void* base = mmap(nullptr, region.reserved_bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (base == MAP_FAILED) return false;
    region.reserved = static_cast<char*>(base);
    void* inner = mmap(region.reserved + page, body, access, MAP_SHARED | MAP_FIXED | MAP_POPULATE, fd,
                       static_cast<off_t>(offset));
    region.data = region.reserved + page + shift;
    region.bytes = bytes;
    return inner != MAP_FAILED;
}

bool bind(Slot& slot, char* text) {
    char* rest = nullptr;
    int i = 0;
    for (char* word = strtok_r(text, " ", &rest); word != nullptr; word = strtok_r(nullptr, " ", &rest)) {
        if (i == ARGUMENTS) return false;
        size_t offset, bytes, shift;
        if (word[0] == 'v') {
            slot.values[i].integer = strtoll(word + 2, nullptr, 10);
        } else if (word[0] == 'r') {
            slot.values[i].real = strtod(word + 2, nullptr);
        } else {
            if (sscanf(word + 2, "%zu:%zu:%zu", &offset, &bytes, &shift) != 3) return false;
            bool in = word[0] == 'i';
            int access = in ? PROT_READ : PROT_READ | PROT_WRITE;
            if (!bind_memory(slot.regions[i], in ? input_fd : output_fd, offset, bytes, shift, access))
                return false;
            slot.values[i].pointer = slot.regions[i].data;
        }
        ++i;
    }
    return i == ARGUMENTS;
}

// What a candidate reads from a variable it never set should be neither zero nor a former result.
__attribute__((noinline)) void fill_stack_with_junk() {
    volatile char* junk = static_cast<volatile char*>(alloca(JUNK));
    memset(const_cast<char*>(junk), 0xFF, JUNK);
    asm volatile("" ::: "memory");
}

__attribute__((noinline)) int64_t timed_call(void* entry, const Slot& slot) {
    fill_stack_with_junk();
    int64_t begin = now(call_clock);
    asm volatile("" ::: "memory");
    invoke(entry, slot.values);
    asm volatile("" ::: "memory");
    return now(call_clock) - begin;
}

#if defined(__aarch64__)
#define ADD "add %0, %0, %0\n\t"
#else
#define ADD "add %0, %0\n\t"
#endif

// Dependent additions retire one a cycle on every processor in question. Only the thread's own time
// counts: waiting for a busy processor would look like a slow one.
double clock_rate(int milliseconds) {
    constexpr int ROUNDS = 4000, ADDITIONS = 16;
    constexpr clockid_t own = CLOCK_THREAD_CPUTIME_ID;
    double best = 0;
    uint64_t x = 1;
    for (int64_t end = now(own) + milliseconds * 1000000LL, begin = 0; (begin = now(own)) < end;) {
        for (int i = 0; i < ROUNDS; ++i)
            asm volatile(ADD ADD ADD ADD ADD ADD ADD ADD ADD ADD ADD ADD ADD ADD ADD ADD : "+r"(x));
        double rate = ROUNDS * ADDITIONS * 1e9 / static_cast<double>(now(own) - begin);
        if (rate > best) best = rate;
    }
    return best;
}

}  // namespace

int main(int count, char** words) {
    if (count < 6) return 2;
    command_fd = atoi(words[1]);
    reply_fd = atoi(words[2]);
    input_fd = atoi(words[3]);
    output_fd = atoi(words[4]);
    int threads = atoi(words[5]);
    if (threads == 1) call_clock = CLOCK_THREAD_CPUTIME_ID;
    page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
    install_handlers();

    void* entry = nullptr;
    bool confined = true;
    if (count >= 8) {
        prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
        confined = confine::before_loading(threads);
        // What it computes, not what it waits for: a busy machine makes nobody suspicious.
        int64_t begin = now(CLOCK_PROCESS_CPUTIME_ID);
        void* library = dlopen(words[6], RTLD_NOW | RTLD_LOCAL);
        if (library == nullptr) {
            reply("unloadable %s", dlerror());
            return 4;
        }
        entry = dlsym(library, words[7]);
        if (entry == nullptr) {
            reply("unloadable the function %s is missing", words[7]);
            return 4;
        }
        int64_t load = now(CLOCK_PROCESS_CPUTIME_ID) - begin;
        confined = confine::before_calling(threads, reply_fd) && confined;
        reply("ready %lld %d", static_cast<long long>(load), confined ? 1 : 0);
    } else {
        reply("ready 0 1");
    }

    static char line[4096];
    while (read_line(line, sizeof line)) {
        char* rest = strchr(line, ' ');
        if (rest != nullptr) *rest++ = 0;
        if (strcmp(line, "ping") == 0) {
            reply("pong");
        } else if (strcmp(line, "spin") == 0 && rest != nullptr) {
            reply("hz %.0f", clock_rate(atoi(rest)));
        } else if (strcmp(line, "bind") == 0 && rest != nullptr) {
            char* arguments = strchr(rest, ' ');
            int slot = atoi(rest);
            bool good = arguments != nullptr && slot >= 0 && slot < SLOTS;
            if (!good || !bind(slots[slot], arguments + 1)) {
                reply("refused bind");
                return 5;
            }
            reply("bound");
        } else if (strcmp(line, "call") == 0 && rest != nullptr && entry != nullptr) {
            int64_t nanoseconds = 0;
            for (char* word = strtok_r(rest, " ", &rest); word; word = strtok_r(nullptr, " ", &rest)) {
                current_slot = atoi(word) % SLOTS;
                nanoseconds += timed_call(entry, slots[current_slot]);
            }
            current_slot = -1;
            reply("t %lld", static_cast<long long>(nanoseconds));
        } else {
            reply("refused %s", line);
            return 5;
        }
    }
    _exit(0);  // no destructors of the candidate run
}
