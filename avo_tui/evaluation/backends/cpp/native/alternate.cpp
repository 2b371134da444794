// Calls two candidates in turn, in one process and on the same memory, and times each call: a quick
// comparison for their author. Nothing is judged here and no gate uses these times: the candidates
// share the process with the clock. They are confined as any experiment is.
//
//   alternate ONE OTHER ENTRY THREADS WARM_SECONDS COLD_SECONDS SHIFT [NEEDED…]
//
// ONE and OTHER are shared objects; SHIFT is the distance, in bytes, of each argument from the
// beginning of its memory (a multiple of 64, another one for each process).
// arguments.txt has one argument a line: i FILE BYTES, o BYTES, v INTEGER or r REAL.
// times.txt gets a line a round, `warm NS NS` or `cold NS NS`: a call of ONE and one of OTHER, each
// the mean of two calls of the round. The outputs of a last call of each are written to
// `one.K.bin` and `other.K.bin`, K the number of the argument.
// Standard output names the library whose first call begins, so that one that ends the process is
// known.
//
// glue.h is generated from the task: ARGUMENTS (their number) and invoke(entry, values).

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

#include <dlfcn.h>
#include <time.h>
#include <unistd.h>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

union Value {
    void* pointer;
    int64_t integer;
    double real;
};

#include "glue.h"

namespace {

constexpr int FEWEST_ROUNDS = 3, MOST_ROUNDS = 20000;
constexpr double SLOW = 0.05;  // seconds; a round of slower calls is enough, without a warm-up
constexpr double SHORTEST = 50e-6;  // seconds; shorter calls are repeated within a sample
constexpr size_t LINE = 64;
constexpr size_t BEYOND_CACHES = size_t(256) << 20;

struct Argument {
    char kind = 'v';
    size_t bytes = 0;
    char* data = nullptr;
};

Argument arguments[ARGUMENTS];
Value values[ARGUMENTS];
clockid_t used_clock = CLOCK_MONOTONIC;
double clock_seconds = 1;  // what asking the clock twice takes

double now(clockid_t clock) {
    timespec t;
    clock_gettime(clock, &t);
    return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
}

bool read_arguments(size_t shift) {
    FILE* list = fopen("arguments.txt", "r");
    if (list == nullptr) return false;
    char text[256];
    for (int i = 0; i < ARGUMENTS; ++i) {
        Argument& argument = arguments[i];
        if (fscanf(list, " %c", &argument.kind) != 1) return false;
        if (argument.kind == 'v' || argument.kind == 'r') {
            if (fscanf(list, "%255s", text) != 1) return false;
            if (argument.kind == 'v') values[i].integer = strtoll(text, nullptr, 10);
            if (argument.kind == 'r') values[i].real = strtod(text, nullptr);
            continue;
        }
        bool in = argument.kind == 'i';
        if (in && fscanf(list, "%255s", text) != 1) return false;
        if (fscanf(list, "%zu", &argument.bytes) != 1) return false;
        size_t room = (argument.bytes + shift + 4095) / 4096 * 4096 + 4096;
        char* memory = static_cast<char*>(aligned_alloc(4096, room));
        if (memory == nullptr) return false;
        memset(memory, 0, room);
        argument.data = memory + shift;
        values[i].pointer = argument.data;
        if (!in) continue;
        FILE* file = fopen(text, "rb");
        bool whole = file != nullptr && fread(argument.data, 1, argument.bytes, file) == argument.bytes;
        if (file != nullptr) fclose(file);
        if (!whole) return false;
    }
    fclose(list);
    return true;
}

// No byte of an argument is in a cache afterwards.
void flush() {
#if defined(__x86_64__)
    for (Argument& argument : arguments)
        for (size_t i = 0; i < argument.bytes; i += LINE) _mm_clflush(argument.data + i);
    _mm_mfence();
#else
    static std::vector<char> other(BEYOND_CACHES);
    for (size_t i = 0; i < other.size(); i += LINE) other[i] = static_cast<char>(other[i] + 1);
#endif
}

// Seconds of a call, the mean of `repeats`.
double timed(void* entry, int repeats, bool cold) {
    if (cold) flush();
    double began = now(used_clock);
    for (int i = 0; i < repeats; ++i) invoke(entry, values);
    double taken = now(used_clock) - began - clock_seconds;
    return (taken > 1e-9 ? taken : 1e-9) / repeats;
}

void time_the_clock() {
    for (int i = 0; i < 200; ++i) {
        double began = now(used_clock), taken = now(used_clock) - began;
        if (taken < clock_seconds) clock_seconds = taken;
    }
}

// `known`: seconds of the faster candidate's first call; those of both warmed up what slow calls need.
void rounds(FILE* out, void* const (&entries)[2], bool cold, double seconds, double known) {
    double shortest = known;
    if (known < SLOW) {
        shortest = timed(entries[0], 1, cold);
        for (void* entry : entries) {
            double taken = timed(entry, 1, cold);
            if (taken < shortest) shortest = taken;
        }
    }
    int fewest = shortest < SLOW ? FEWEST_ROUNDS : 1;
    int repeats = 1;
    if (!cold && shortest < SHORTEST) repeats = 1 + static_cast<int>(SHORTEST / (shortest + 1e-9));
    double end = now(CLOCK_MONOTONIC) + seconds;
    for (int n = 0; n < MOST_ROUNDS && (n < fewest || now(CLOCK_MONOTONIC) < end); ++n) {
        int first = n & 1;  // A B B A, then B A A B: a drift in time cancels
        double sums[2] = {0, 0};
        for (int which : {first, 1 - first, 1 - first, first})
            sums[which] += timed(entries[which], repeats, cold);
        fprintf(out, "%s %.3f %.3f\n", cold ? "cold" : "warm", sums[0] / 2 * 1e9, sums[1] / 2 * 1e9);
    }
}

bool write_outputs(void* entry, const char* name, double& taken) {
    for (Argument& argument : arguments)
        if (argument.kind == 'o') memset(argument.data, 0, argument.bytes);
    double began = now(used_clock);
    invoke(entry, values);
    taken = now(used_clock) - began;
    for (int i = 0; i < ARGUMENTS; ++i) {
        if (arguments[i].kind != 'o') continue;
        char path[64];
        snprintf(path, sizeof path, "%s.%d.bin", name, i);
        FILE* file = fopen(path, "wb");
        if (file == nullptr) return false;
        bool whole = fwrite(arguments[i].data, 1, arguments[i].bytes, file) == arguments[i].bytes;
        if (fclose(file) != 0 || !whole) return false;
    }
    return true;
}

}  // namespace

int main(int count, char** words) {
    if (count < 8 || !read_arguments(strtoull(words[7], nullptr, 10))) return 2;
    if (atoi(words[4]) == 1) used_clock = CLOCK_THREAD_CPUTIME_ID;
    for (int i = 8; i < count; ++i) dlopen(words[i], RTLD_NOW | RTLD_GLOBAL);
    void* entries[2];
    const char* names[2] = {"one", "other"};
    for (int i = 0; i < 2; ++i) {
        void* library = dlopen(words[1 + i], RTLD_NOW | RTLD_LOCAL);
        entries[i] = library != nullptr ? dlsym(library, words[3]) : nullptr;
        if (entries[i] == nullptr) return 3;
    }
    double first[2];
    for (int i = 0; i < 2; ++i) {
        printf("%s\n", names[i]);
        fflush(stdout);
        if (!write_outputs(entries[i], names[i], first[i])) return 4;
    }
    double known = first[0] < first[1] ? first[0] : first[1];
    printf("both\n");
    fflush(stdout);
    FILE* out = fopen("times.txt", "w");
    if (out == nullptr) return 5;
    time_the_clock();
    double warm = atof(words[5]), cold = atof(words[6]);
    rounds(out, entries, false, warm, known);
    rounds(out, entries, true, cold, known);
    fclose(out);
    _Exit(0);
}
