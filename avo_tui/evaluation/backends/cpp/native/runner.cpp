// The process that runs a C++ candidate. It loads the shared object, binds its arguments to shared
// memory and calls it when told to. It knows inputs and sizes only: no reference, no baseline, no
// clock. Everything that counts is done by the harness, in another process: it writes the inputs
// while this process is stopped, reads its processor time from outside, and judges the outputs.
//
//   runner CHANNEL_FD INPUT_FD OUTPUT_FD WORDS_FD CONTROL_FD THREADS LIBRARY ENTRY [NEEDED…]
//
// The candidate has no access to the channel. Only three instructions of the loop below may read it
// or write to it: the filter asks for the address that a call comes from. A command is the length of
// a message, which only the Linux kernel tells, in a register; whoever answers, by returning or by
// jumping into the loop, waits for the next command there. So between an answer and the next command
// no instruction of the candidate runs, and none in EXCHANGE and BIND.
//   1 EXCHANGE   answered at once: what waking and answering cost in this very process
//   2 BIND       maps the arguments that the control page names
//   3 CALL       calls the candidate as often as the control page says
//   4 LOAD       loads the candidate, constructors and all
// The first message is `loading CONFINED` with the descriptor of the reports of forbidden calls;
// every other is one byte. What it says before it dies goes another way, which the candidate may use
// too: fault SIGNAL ADDRESS ACCESS, clock, unloadable WHY, or refused.
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

#include <dlfcn.h>
#include <fcntl.h>
#include <malloc.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <ucontext.h>
#include <unistd.h>

#include "confine.h"

#ifndef MAP_FIXED_NOREPLACE
#define MAP_FIXED_NOREPLACE 0x100000
#endif

union Value {
    void* pointer;
    int64_t integer;
    double real;
};

#include "glue.h"

namespace {

constexpr size_t JUNK = 16 * 1024;  // bytes of stack filled with NaN patterns before a call
constexpr size_t HEAP_JUNK = 8 * 1024 * 1024;  // bytes of heap filled with them before loading
// The same descriptors in every process, whatever the harness had open when it started this one.
constexpr int CHANNEL = 10, INPUTS = 11, OUTPUTS = 12, WORDS = 13, CONTROL = 14, ABOVE = 16, HANDED = 5;
constexpr long BIND = 2, CALL = 3, LOAD = 4;

// The control page, in words of 64 bits: written by the harness, mapped here for reading only.
// Calls, ranges to unmap, tensors to map, where the calls' values begin; then {address, bytes} and
// {address, bytes, descriptor, offset} of these.
const int64_t* control;
void* entry;
const char *library, *entry_name;
size_t page;
int threads = 1;

void reply(const char* format, ...) {
    char text[512];
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(text, sizeof text - 1, format, arguments);
    va_end(arguments);
    text[length] = '\n';
    if (write(WORDS, text, static_cast<size_t>(length) + 1) != length + 1) _exit(3);
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
    reply("fault %d %#zx %s", signal, reinterpret_cast<size_t>(info->si_addr), access);
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

// What a candidate reads from a variable it never set should be neither zero nor a former result:
// memory from malloc, small blocks of every size, and the heap behind them, which is
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

// Moves the descriptors to where they are in every such process, and closes all others.
void settle_descriptors(const int (&given)[HANDED]) {
    int high[HANDED];
    for (int i = 0; i < HANDED; ++i) high[i] = given[i] < 0 ? -1 : fcntl(given[i], F_DUPFD, ABOVE);
    for (int fd = 3; fd < 1024; ++fd) {
        bool kept = false;
        for (int mine : high) kept |= fd == mine;
        if (!kept) close(fd);
    }
    for (int i = 0; i < HANDED; ++i) {
        if (high[i] < 0) continue;
        dup3(high[i], CHANNEL + i, O_CLOEXEC);
        close(high[i]);
    }
}

// From here on to `serve` nothing of the C library is called, and no memory is trusted that a
// candidate can write: what runs in EXCHANGE and BIND is no candidate's, whatever it overwrote.
long system_call(long number, long a, long b = 0, long c = 0, long d = 0, long e = 0, long f = 0) {
#if defined(__x86_64__)
    long result;
    register long r10 asm("r10") = d;
    register long r8 asm("r8") = e;
    register long r9 asm("r9") = f;
    asm volatile("syscall"
                 : "=a"(result)
                 : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
                 : "rcx", "r11", "memory");
    return result;
#else
    register long x8 asm("x8") = number;
    register long x0 asm("x0") = a;
    register long x1 asm("x1") = b;
    register long x2 asm("x2") = c;
    register long x3 asm("x3") = d;
    register long x4 asm("x4") = e;
    register long x5 asm("x5") = f;
    asm volatile("svc #0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5) : "memory");
    return x0;
#endif
}

[[noreturn]] void refuse() {
    static const char text[] = "refused\n";
    system_call(SYS_write, WORDS, reinterpret_cast<long>(text), sizeof text - 1);
    for (;;) system_call(SYS_exit_group, 3);
}

__attribute__((noinline)) void fill_stack_with_junk() {
    char junk[JUNK];
    for (volatile char& byte : junk) byte = static_cast<char>(0xFF);
}

// Every tensor lies between pages that are not mapped: the harness draws the addresses far apart.
void bind() {
    const int64_t* at = control + 4;
    for (int64_t i = control[1]; i > 0; --i, at += 2) system_call(SYS_munmap, at[0], at[1]);
    for (int64_t i = control[2]; i > 0; --i, at += 4) {
        bool writable = at[2] == OUTPUTS;
        long access = writable ? PROT_READ | PROT_WRITE : PROT_READ;
        long flags = MAP_SHARED | MAP_FIXED_NOREPLACE | MAP_POPULATE;
        if (system_call(SYS_mmap, at[0], at[1], access, flags, at[2], at[3]) != at[0]) refuse();
        // Some Linux kernels map the pages of a shared file for reading only until the first write:
        // that fault belongs to no kernel's time.
        if (writable)
            for (auto byte = reinterpret_cast<volatile char*>(at[0]), end = byte + at[1]; byte < end; byte += page)
                *byte = *byte;
    }
    fill_stack_with_junk();
}

// Leaves `entry` null after a last word.
void load() {
    void* handle = dlopen(library, RTLD_NOW | RTLD_LOCAL);
    if (handle == nullptr) {
        reply("unloadable %s", dlerror());
        _exit(4);
    }
    entry = dlsym(handle, entry_name);
    if (entry == nullptr) {
        reply("unloadable the function %s is missing", entry_name);
        _exit(4);
    }
}

}  // namespace

// The loop that waits for commands, see the head of this file.
extern "C" {
__attribute__((visibility("hidden"))) extern const char avo_told[], avo_answered[], avo_asked[];
[[noreturn]] void avo_begin(const msghdr* first);
}
asm(R"(
    .hidden avo_begin, avo_told, avo_answered, avo_asked, avo_serve
    .globl avo_begin, avo_told, avo_answered, avo_asked
    .local avo_stack, avo_heard
    .comm avo_stack, 8, 8
    .comm avo_heard, 8, 8
    .text
)"
#if defined(__x86_64__)
R"(
avo_begin:
    mov %rsp, avo_stack(%rip)
    mov %rdi, %rsi
    mov $10, %edi
    xor %edx, %edx
    mov $46, %eax
    syscall
avo_told:
    jmp 2f
1:  mov $10, %edi
    lea avo_asked(%rip), %rsi
    mov $1, %edx
    mov $1, %eax
    syscall
avo_answered:
2:  mov $10, %edi
    lea avo_heard(%rip), %rsi
    mov $4, %edx
    xor %eax, %eax
    syscall
avo_asked:
    cmp $1, %rax
    je 1b
    jl 3f
    mov avo_stack(%rip), %rsp
    and $-16, %rsp
    cld
    mov %rax, %rdi
    call avo_serve
    jmp 1b
3:  mov $3, %edi
    mov $231, %eax
    syscall
    hlt
)"
#elif defined(__aarch64__)
R"(
avo_begin:
    mov x10, sp
    adrp x9, avo_stack
    str x10, [x9, :lo12:avo_stack]
    mov x1, x0
    mov x0, #10
    mov x2, #0
    mov x8, #211
    svc #0
avo_told:
    b 2f
1:  mov x0, #10
    adrp x1, avo_asked
    add x1, x1, :lo12:avo_asked
    mov x2, #1
    mov x8, #64
    svc #0
avo_answered:
2:  mov x0, #10
    adrp x1, avo_heard
    add x1, x1, :lo12:avo_heard
    mov x2, #4
    mov x8, #63
    svc #0
avo_asked:
    cmp x0, #1
    b.eq 1b
    b.lt 3f
    adrp x9, avo_stack
    ldr x10, [x9, :lo12:avo_stack]
    and x10, x10, #0xfffffffffffffff0
    mov sp, x10
    bl avo_serve
    b 1b
3:  mov x0, #3
    mov x8, #94
    svc #0
)"
#endif
);

namespace {
int reports = -1;
confine::Channel channel() { return {CHANNEL, WORDS, avo_told, avo_answered, avo_asked}; }
}  // namespace

extern "C" __attribute__((used, visibility("hidden"))) void avo_serve(long command) {
    if (command == CALL) {
        auto values = reinterpret_cast<const Value*>(control + control[3]);
        for (int64_t i = 0; i < control[0]; ++i) invoke(entry, values + i * ARGUMENTS);
    } else if (command == BIND) {
        bind();
    } else if (command == LOAD) {
        if (reports >= 0) close(reports);
        load();
        if (reports < 0 && !confine::before_calling(threads, channel())) _exit(3);
    } else {
        refuse();
    }
}

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
    if (count < 9) return 2;
    int given[HANDED];
    for (int i = 0; i < HANDED; ++i) given[i] = atoi(words[1 + i]);
    settle_descriptors(given);
    threads = atoi(words[6]);
    page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
    auto size = lseek(CONTROL, 0, SEEK_END);
    void* mapped = mmap(nullptr, static_cast<size_t>(size), PROT_READ, MAP_SHARED | MAP_POPULATE, CONTROL, 0);
    if (mapped == MAP_FAILED) return 2;
    close(CONTROL);
    control = static_cast<const int64_t*>(mapped);
    library = strdup(words[7]);
    entry_name = strdup(words[8]);
    // Libraries of the system, which the candidate was allowed to link: loaded before it, so that
    // nothing but the candidate itself has to be opened under the filter.
    for (int i = 9; i < count; ++i) dlopen(words[i], RTLD_NOW | RTLD_GLOBAL);
    for (int i = 1; i < count; ++i) memset(words[i], 'x', strlen(words[i]));
    // A buffer of our own: the C library would ask for the kind of the file to choose one.
    static char printed[BUFSIZ];
    setvbuf(stdout, printed, _IOLBF, sizeof printed);
    forget_the_time();
    install_handlers();
#if defined(__x86_64__)
    // Linux gives a process the tile registers of AMX when it asks for them, and the candidate may
    // not. ARCH_REQ_XCOMP_PERM, XTILEDATA; a processor without them refuses it.
    syscall(SYS_arch_prctl, 0x1023, 18);
#endif
    ask_the_system_now();
    fill_heap_with_junk();
#if defined(__x86_64__) && defined(PR_SET_TSC)
    prctl(PR_SET_TSC, PR_TSC_SIGSEGV, 0, 0, 0);
#endif
    bool confined = false;
    reports = confine::before_loading(threads, channel(), &confined);
    static char text[] = "loading 0";
    text[8] = confined ? '1' : '0';
    static iovec part = {text, sizeof text - 1};
    alignas(cmsghdr) static char space[CMSG_SPACE(sizeof(int))] = {};
    static msghdr message = {};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    if (reports >= 0) {  // sent with it, and closed before the candidate is loaded
        message.msg_control = space;
        message.msg_controllen = sizeof space;
        cmsghdr* header = CMSG_FIRSTHDR(&message);
        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN(sizeof(int));
        memcpy(CMSG_DATA(header), &reports, sizeof(int));
    }
    avo_begin(&message);
}
