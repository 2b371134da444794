// The process that runs a C++ candidate. It loads the shared object, binds its arguments to shared
// memory and calls it when told to. It knows inputs and sizes only: no reference, no baseline, no
// clock. Everything that counts is done by the harness, in another process: it writes the inputs
// while this process is stopped, reads its processor time from outside, and judges the outputs.
//
//   runner CHANNEL_FD INPUT_FD OUTPUT_FD THREADS [LIBRARY ENTRY NEEDED…]
//
// Commands, one a line, each answered by one line:
//   spin MILLISECONDS            hz RATE        (dependent additions per second: the clock rate)
//   bind SLOT ARGUMENT…          bound          (i|o:OFFSET:BYTES:SHIFT, v:INTEGER or r:REAL)
//   call SLOT                    done
//   idle                         done           (all that a call does, without the candidate)
// Unasked: `loading CONFINED` with the descriptor of the reports of forbidden calls, then `ready`;
// before it dies: fault SIGNAL ADDRESS ACCESS ARGUMENT OFFSET BYTES, or clock.
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
#include <fcntl.h>
#include <malloc.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
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
constexpr size_t JUNK = 16 * 1024;  // bytes of stack filled with NaN patterns before a call
constexpr size_t HEAP_JUNK = 8 * 1024 * 1024;  // bytes of heap filled with them before loading
// The same descriptors in every process, whatever the harness had open when it started this one.
constexpr int CHANNEL = 10, INPUTS = 11, OUTPUTS = 12, ABOVE = 16;

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
int current_slot = -1;
size_t page;
int threads = 1;

void reply(const char* format, ...) {
    char text[512];
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(text, sizeof text - 1, format, arguments);
    va_end(arguments);
    text[length] = '\n';
    if (write(CHANNEL, text, static_cast<size_t>(length) + 1) != length + 1) _exit(3);
}

// The parent sends one line and waits for the answer, so nothing follows a line's end.
bool read_line(char* into, size_t capacity) {
    for (size_t length = 0; length + 1 < capacity;) {
        ssize_t got = read(CHANNEL, into + length, capacity - 1 - length);
        if (got <= 0) return false;
        length += static_cast<size_t>(got);
        if (into[length - 1] == '\n') {
            into[length - 1] = 0;
            return true;
        }
    }
    return false;
}

int64_t own_time() {
    timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return t.tv_sec * 1000000000LL + t.tv_nsec;
}

// Whether the instruction at `code` reads a clock: rdtsc, rdtscp or rdpru.
bool reads_clock(const unsigned char* code) {
    if (code[0] != 0x0F) return false;
    return code[1] == 0x31 || (code[1] == 0x01 && (code[2] == 0xF9 || code[2] == 0xFD));
}

#if defined(__x86_64__)
// Whether the instruction at `code` moves a whole vector from or to memory that must be aligned to
// the vector's size: movaps, movapd, movdqa, movntps, movntpd, movntdq, movntdqa, in their SSE, AVX
// and AVX-512 encodings. Such an instruction faults without an address where it is not.
bool needs_alignment(const unsigned char* code) {
    bool wide = false, repeated = false;  // the prefixes 66 and F3
    int map = 0, i = 0;
    for (; i < 4 && (code[i] == 0x66 || code[i] == 0xF3); ++i) (code[i] == 0x66 ? wide : repeated) = true;
    if ((code[i] & 0xF0) == 0x40) ++i;  // REX
    if (code[i] == 0x0F) {
        map = code[i + 1] == 0x38 ? 2 : 1;
        i += map;
    } else if (code[i] == 0xC5 || code[i] == 0xC4) {
        map = code[i] == 0xC5 ? 1 : code[i + 1] & 0x1F;
        i += code[i] == 0xC5 ? 1 : 2;
        wide = (code[i] & 3) == 1, repeated = (code[i] & 3) == 2;
        ++i;
    } else if (code[i] == 0x62) {
        map = code[i + 1] & 7;
        wide = (code[i + 2] & 3) == 1, repeated = (code[i + 2] & 3) == 2;
        i += 4;
    } else {
        return false;
    }
    unsigned char name = code[i];
    if (map == 2) return wide && name == 0x2A;
    if (map != 1) return false;
    if (name == 0x28 || name == 0x29 || name == 0x2B) return !repeated;
    return wide && (name == 0x6F || name == 0x7F || name == 0xE7);
}
#endif

// The bound argument nearest to an address, and the distance from its beginning.
void on_fault(int signal, siginfo_t* info, void* context) {
    const char* access = "?";
#if defined(__x86_64__)
    auto* machine = &static_cast<ucontext_t*>(context)->uc_mcontext;
    if (signal == SIGSEGV) access = (machine->gregs[REG_ERR] & 2) ? "write" : "read";
    if (signal == SIGSEGV && info->si_code == SI_KERNEL &&
        reads_clock(reinterpret_cast<const unsigned char*>(machine->gregs[REG_RIP]))) {
        reply("clock");
        _exit(64 + signal);
    }
    if (signal == SIGSEGV && info->si_code == SI_KERNEL)
        access = needs_alignment(reinterpret_cast<const unsigned char*>(machine->gregs[REG_RIP]))
                     ? "misaligned"
                     : "general";
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
    reply("fault %d %#zx %s %d %td %zu", signal, reinterpret_cast<size_t>(info->si_addr), access,
          nearest, offset, bytes);
    _exit(64 + signal);
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
    if (inner == MAP_FAILED) return false;
    // Some Linux kernels map the pages of a shared file for reading only until the first write:
    // that fault belongs to no kernel's time.
    if ((access & PROT_WRITE) != 0)
        for (size_t i = 0; i < body; i += page) {
            volatile char* byte = static_cast<char*>(inner) + i;
            *byte = *byte;
        }
    return true;
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
            if (!bind_memory(slot.regions[i], in ? INPUTS : OUTPUTS, offset, bytes, shift, access))
                return false;
            slot.values[i].pointer = slot.regions[i].data;
        }
        ++i;
    }
    return i == ARGUMENTS;
}

// Unmaps the page in which the kernel keeps the time of day for every process ([vvar]): no call and
// no processor clock is needed to read it there. Where /proc is not there it stays.
void forget_the_time() {
    FILE* maps = fopen("/proc/self/maps", "r");
    if (maps == nullptr) return;
    static char line[512];
    size_t begin, end;
    uintptr_t pages[8][2];
    int count = 0;
    while (count < 8 && fgets(line, sizeof line, maps) != nullptr)
        if (strstr(line, "[vvar") != nullptr && sscanf(line, "%zx-%zx", &begin, &end) == 2) {
            pages[count][0] = begin;
            pages[count++][1] = end - begin;
        }
    fclose(maps);
    for (int i = 0; i < count; ++i) munmap(reinterpret_cast<void*>(pages[i][0]), pages[i][1]);
}

// Functions of the C library that ask the system something the first time they are called, and
// remember the answer: a large qsort of glibc before 2.37 asks for the size of the memory.
int descending(const void* a, const void* b) {
    return *static_cast<const int*>(b) - *static_cast<const int*>(a);
}

void ask_the_system_now() {
    static int values[4096];
    for (int i = 0; i < 4096; ++i) values[i] = i * 7919 % 4096;
    qsort(values, 4096, sizeof(int), descending);
}

// What a candidate reads from a variable it never set should be neither zero nor a former result.
__attribute__((noinline)) void fill_stack_with_junk() {
    volatile char* junk = static_cast<volatile char*>(alloca(JUNK));
    memset(const_cast<char*>(junk), 0xFF, JUNK);
    asm volatile("" ::: "memory");
}

// The same for memory from malloc: small blocks of every size, and the heap behind them, which is
// neither given back to the system nor avoided for large blocks.
void fill_heap_with_junk() {
    mallopt(M_MMAP_THRESHOLD, 4 * HEAP_JUNK);
    mallopt(M_TRIM_THRESHOLD, 64 * HEAP_JUNK);
    constexpr size_t LARGEST = 1024, STEP = 16, EACH = 7;
    void* small[LARGEST / STEP][EACH];
    for (size_t i = 0; i < LARGEST / STEP; ++i)
        for (void*& block : small[i]) {
            block = malloc((i + 1) * STEP - 8);
            if (block != nullptr) memset(block, 0xFF, (i + 1) * STEP - 8);
        }
    void* rest = malloc(HEAP_JUNK);
    if (rest != nullptr) memset(rest, 0xFF, HEAP_JUNK);
    asm volatile("" ::"r"(rest), "r"(small) : "memory");
    free(rest);
    for (auto& row : small)
        for (void* block : row) free(block);
}

__attribute__((noinline)) void call(void* entry, const Slot& slot) {
    fill_stack_with_junk();
    if (entry != nullptr) invoke(entry, slot.values);
    asm volatile("" ::: "memory");
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
    double best = 0;
    uint64_t x = 1;
    for (int64_t end = own_time() + milliseconds * 1000000LL, begin = 0; (begin = own_time()) < end;) {
        for (int i = 0; i < ROUNDS; ++i)
            asm volatile(ADD ADD ADD ADD ADD ADD ADD ADD ADD ADD ADD ADD ADD ADD ADD ADD : "+r"(x));
        double rate = ROUNDS * ADDITIONS * 1e9 / static_cast<double>(own_time() - begin);
        if (rate > best) best = rate;
    }
    return best;
}

// Moves the descriptors to where they are in every such process, and closes all others.
void settle_descriptors(const int (&given)[3]) {
    int high[3];
    for (int i = 0; i < 3; ++i) high[i] = given[i] < 0 ? -1 : fcntl(given[i], F_DUPFD, ABOVE);
    for (int fd = 3; fd < 1024; ++fd)
        if (fd != high[0] && fd != high[1] && fd != high[2]) close(fd);
    for (int i = 0; i < 3; ++i) {
        if (high[i] < 0) continue;
        dup3(high[i], CHANNEL + i, O_CLOEXEC);
        close(high[i]);
    }
}

// Sends a line together with the descriptor of the reports, if there is one, and forgets it.
bool hand_over(int reports, bool confined) {
    char text[] = "loading 0\n";
    text[8] = confined ? '1' : '0';
    iovec part = {text, sizeof text - 1};
    alignas(cmsghdr) char space[CMSG_SPACE(sizeof(int))] = {};
    msghdr message = {};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    if (reports >= 0) {
        message.msg_control = space;
        message.msg_controllen = sizeof space;
        cmsghdr* header = CMSG_FIRSTHDR(&message);
        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN(sizeof(int));
        memcpy(CMSG_DATA(header), &reports, sizeof(int));
    }
    bool sent = sendmsg(CHANNEL, &message, 0) == static_cast<ssize_t>(part.iov_len);
    if (reports >= 0) close(reports);
    return sent;
}

// Loads the candidate under the filter; returns its entry, or null after a last word.
void* load(const char* library, const char* name) {
    bool confined = false;
    int reports = confine::before_loading(threads, CHANNEL, &confined);
    if (!hand_over(reports, confined)) _exit(3);
    char go[8];
    if (!read_line(go, sizeof go)) _exit(3);
    void* handle = dlopen(library, RTLD_NOW | RTLD_LOCAL);
    if (handle == nullptr) {
        reply("unloadable %s", dlerror());
        return nullptr;
    }
    void* entry = dlsym(handle, name);
    if (entry == nullptr) {
        reply("unloadable the function %s is missing", name);
        return nullptr;
    }
    if (reports < 0 && !confine::before_calling(threads, CHANNEL)) _exit(3);
    return entry;
}

bool do_bind(char* rest) {
    char* arguments = strchr(rest, ' ');
    int slot = atoi(rest);
    return arguments != nullptr && slot >= 0 && slot < SLOTS && bind(slots[slot], arguments + 1);
}

void serve(void* entry) {
    static char line[4096];
    while (read_line(line, sizeof line)) {
        char* rest = strchr(line, ' ');
        if (rest != nullptr) *rest++ = 0;
        if (strcmp(line, "call") == 0 && rest != nullptr && entry != nullptr) {
            current_slot = atoi(rest) % SLOTS;
            call(entry, slots[current_slot]);
            current_slot = -1;
            reply("done");
        } else if (strcmp(line, "bind") == 0 && rest != nullptr) {
            reply(do_bind(rest) ? "bound" : "refused");
        } else if (strcmp(line, "idle") == 0) {
            call(nullptr, slots[0]);
            reply("done");
        } else if (strcmp(line, "spin") == 0 && rest != nullptr) {
            reply("hz %.0f", clock_rate(atoi(rest)));
        } else {
            reply("refused");
        }
    }
}

}  // namespace

// std::thread::hardware_concurrency() of a candidate finds this one before that of the C++ library,
// which opens a file to find out. The answer is what the task allows.
extern "C" __attribute__((visibility("default"), used)) unsigned
_ZNSt6thread20hardware_concurrencyEv() noexcept {
    return static_cast<unsigned>(threads);
}

// What that function asks where the candidate brings a copy of the C++ library's.
extern "C" __attribute__((visibility("default"), used)) int get_nprocs() noexcept {
    return threads;
}

int main(int count, char** words) {
    if (count < 5) return 2;
    settle_descriptors({atoi(words[1]), atoi(words[2]), atoi(words[3])});
    threads = atoi(words[4]);
    page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
    void* entry = nullptr;
    if (count >= 7) {
        static char library[256], name[256];
        snprintf(library, sizeof library, "%s", words[5]);
        snprintf(name, sizeof name, "%s", words[6]);
        // Libraries of the system, which the candidate was allowed to link: loaded before it, so
        // that nothing but the candidate itself has to be opened under the filter.
        for (int i = 7; i < count; ++i) dlopen(words[i], RTLD_NOW | RTLD_GLOBAL);
        for (int i = 1; i < count; ++i) memset(words[i], 'x', strlen(words[i]));
        // A buffer of our own: the C library would ask for the kind of the file to choose one.
        static char printed[BUFSIZ];
        setvbuf(stdout, printed, _IOLBF, sizeof printed);
        forget_the_time();
        install_handlers();
        ask_the_system_now();
        fill_heap_with_junk();
#if defined(__x86_64__) && defined(PR_SET_TSC)
        prctl(PR_SET_TSC, PR_TSC_SIGSEGV, 0, 0, 0);
#endif
        entry = load(library, name);
        if (entry == nullptr) return 4;
    } else {
        reply("loading 1");
    }
    reply("ready");
    serve(entry);
    _exit(0);  // no destructors of the candidate run
}
