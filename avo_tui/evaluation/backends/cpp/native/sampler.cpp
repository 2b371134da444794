// Runs a candidate on one set of inputs and notes, about a thousand times a second, which
// instruction it is at: a profile that needs no counters of the processor. Nothing is judged or
// timed here, and no figure of it counts; the candidate is confined as any experiment is.
//
//   sampler LIBRARY ENTRY SECONDS THREADS [NEEDED…]
//
// arguments.txt has one argument a line: i FILE BYTES, o BYTES, v INTEGER or r REAL.
// profile.txt gets: `calls COUNT SECONDS`, then a line a place: `at ADDRESS COUNT` (in hexadecimal,
// from the library's beginning) or `in NAME COUNT` for another library, with its function if known.
//
// glue.h is generated from the task: ARGUMENTS (their number) and invoke(entry, values).

#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <string>

#include <dlfcn.h>
#include <sys/time.h>
#include <time.h>
#include <ucontext.h>

union Value {
    void* pointer;
    int64_t integer;
    double real;
};

#include "glue.h"

namespace {

constexpr int MOST = 1 << 16;
constexpr int NEAR_A_MILLISECOND = 977;  // microseconds; no multiple of the kernel's tick
constexpr int FEWEST_CALLS = 3;

uintptr_t samples[MOST];
volatile int sampled = 0;

void on_tick(int, siginfo_t*, void* context) {
    auto& machine = static_cast<ucontext_t*>(context)->uc_mcontext;
#if defined(__x86_64__)
    uintptr_t place = static_cast<uintptr_t>(machine.gregs[REG_RIP]);
#elif defined(__aarch64__)
    uintptr_t place = machine.pc;
#else
    uintptr_t place = 0;
#endif
    if (sampled < MOST) samples[sampled] = place, sampled = sampled + 1;
}

// With one thread the real clock ticks: finer than the processor's time, which the kernel counts in
// ticks of its own. With several, each tick of the processor's time goes to one that is working.
bool start_ticking(bool one_thread) {
    struct sigaction action = {};
    action.sa_flags = SA_SIGINFO | SA_RESTART;
    action.sa_sigaction = on_tick;
    sigaction(SIGPROF, &action, nullptr);
    if (!one_thread) {
        itimerval every = {{0, NEAR_A_MILLISECOND}, {0, NEAR_A_MILLISECOND}};
        return setitimer(ITIMER_PROF, &every, nullptr) == 0;
    }
    sigevent event = {};
    event.sigev_notify = SIGEV_SIGNAL;
    event.sigev_signo = SIGPROF;
    timer_t timer;
    if (timer_create(CLOCK_MONOTONIC, &event, &timer) != 0) return false;
    itimerspec every = {{0, NEAR_A_MILLISECOND * 1000}, {0, NEAR_A_MILLISECOND * 1000}};
    return timer_settime(timer, 0, &every, nullptr) == 0;
}

double now() {
    timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
}

void* memory(size_t bytes) { return aligned_alloc(64, (bytes + 63) / 64 * 64 + 64); }

bool read_arguments(Value* values) {
    FILE* list = fopen("arguments.txt", "r");
    if (list == nullptr) return false;
    char kind, text[256];
    size_t bytes;
    for (int i = 0; i < ARGUMENTS; ++i) {
        if (fscanf(list, " %c", &kind) != 1) return false;
        if (kind == 'v' || kind == 'r') {
            if (fscanf(list, "%255s", text) != 1) return false;
            if (kind == 'v') values[i].integer = strtoll(text, nullptr, 10);
            if (kind == 'r') values[i].real = strtod(text, nullptr);
            continue;
        }
        bool in = kind == 'i';
        if (in && fscanf(list, "%255s", text) != 1) return false;
        if (fscanf(list, "%zu", &bytes) != 1) return false;
        values[i].pointer = memory(bytes);
        if (values[i].pointer == nullptr) return false;
        memset(values[i].pointer, 0, bytes);
        if (!in) continue;
        FILE* file = fopen(text, "rb");
        bool whole = file != nullptr && fread(values[i].pointer, 1, bytes, file) == bytes;
        if (file != nullptr) fclose(file);
        if (!whole) return false;
    }
    fclose(list);
    return true;
}

void report(uintptr_t base, int calls, double seconds) {
    std::map<uintptr_t, int> own;
    std::map<std::string, int> other;
    for (int i = 0; i < sampled; ++i) {
        Dl_info about = {};
        bool known = dladdr(reinterpret_cast<void*>(samples[i]), &about) != 0;
        if (known && reinterpret_cast<uintptr_t>(about.dli_fbase) == base) {
            ++own[samples[i] - base];
        } else {
            std::string file = known && about.dli_fname != nullptr ? about.dli_fname : "unknown";
            file = file.substr(file.rfind('/') + 1);
            ++other[about.dli_sname != nullptr ? file + " (" + about.dli_sname + ")" : file];
        }
    }
    FILE* out = fopen("profile.txt", "w");
    if (out == nullptr) exit(5);
    fprintf(out, "calls %d %.9f\n", calls, seconds);
    for (auto& [place, count] : own) fprintf(out, "at %zx %d\n", place, count);
    for (auto& [name, count] : other) fprintf(out, "in %s %d\n", name.c_str(), count);
    fclose(out);
}

}  // namespace

int main(int count, char** words) {
    static Value values[ARGUMENTS];
    if (count < 5 || !read_arguments(values)) return 2;
    for (int i = 5; i < count; ++i) dlopen(words[i], RTLD_NOW | RTLD_GLOBAL);
    void* library = dlopen(words[1], RTLD_NOW | RTLD_LOCAL);
    void* entry = library != nullptr ? dlsym(library, words[2]) : nullptr;
    Dl_info about = {};
    if (entry == nullptr || dladdr(entry, &about) == 0) return 3;
    invoke(entry, values);  // what a first call does once is not sampled
    if (!start_ticking(atoi(words[4]) == 1)) return 4;
    double began = now(), limit = atof(words[3]), passed = 0;
    int calls = 0;
    while (calls < FEWEST_CALLS || passed < limit) {
        invoke(entry, values);
        ++calls;
        passed = now() - began;
    }
    signal(SIGPROF, SIG_IGN);
    report(reinterpret_cast<uintptr_t>(about.dli_fbase), calls, passed);
    _Exit(0);
}
