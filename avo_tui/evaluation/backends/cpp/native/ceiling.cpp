// Prints the most fused multiply-adds in single precision that one core does, as operations per
// second (independent chains in registers, with the widest vectors that the processor has), and the
// clock's rate: dependent additions retire one a cycle on every processor in question.
#include <cstdio>
#include <ctime>

#if defined(__AVX512F__)
constexpr int LANES = 16;
#elif defined(__AVX__)
constexpr int LANES = 8;
#else
constexpr int LANES = 4;
#endif
typedef float Vector __attribute__((vector_size(4 * LANES)));
constexpr int CHAINS = 12, STEPS = 20000, ADDITIONS = 64000;

static double seconds() {
    timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
}

int main() {
    Vector chain[CHAINS], factor, term;
    for (int i = 0; i < LANES; ++i) factor[i] = 0.999f, term[i] = 0.001f;
    for (auto &c : chain) c = term;
    double best = 0, clock = 0;
    unsigned long sum = 1;
    for (int attempt = 0; attempt < 200; ++attempt) {
        const double began = seconds();
        for (int step = 0; step < STEPS; ++step)
#pragma GCC unroll 12
            for (int i = 0; i < CHAINS; ++i) chain[i] = chain[i] * factor + term;
        const double took = seconds() - began;
        const double rate = 2.0 * LANES * CHAINS * STEPS / took;
        if (rate > best) best = rate;
        const double again = seconds();
        for (int i = 0; i < ADDITIONS; ++i)  // long beside the call that reads the time
#if defined(__aarch64__)
            asm volatile("add %0, %0, %0" : "+r"(sum));
#else
            asm volatile("add %0, %0" : "+r"(sum));
#endif
        const double cycles = ADDITIONS / (seconds() - again);
        if (cycles > clock) clock = cycles;
    }
    float used = 0;
    for (auto &c : chain) used += c[0];
    std::printf("%.0f %.0f %g\n", best, clock, static_cast<double>(used));
}
