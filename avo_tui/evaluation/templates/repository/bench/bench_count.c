#include "count.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

/* Milliseconds for a text in which `kinds` different words occur; the best of several runs. */
static double best(size_t words, unsigned kinds) {
    char *text = malloc(words * 12);
    size_t length = 0;
    unsigned state = 12345;
    for (size_t i = 0; i < words; i++) {
        state = state * 1664525u + 1013904223u;
        length += (size_t)sprintf(text + length, "word%u ", (state >> 8) % kinds);
    }
    double least = 1e30;
    volatile size_t sink = 0;
    for (int run = 0; run < 9; run++) {
        double began = now();
        sink += count_distinct(text, length);
        double took = now() - began;
        if (took < least) least = took;
    }
    free(text);
    return least;
}

int main(void) {
    printf("{\"few\": %.4f, \"many\": %.4f}\n", best(60000, 40), best(20000, 3000));
    return 0;
}
