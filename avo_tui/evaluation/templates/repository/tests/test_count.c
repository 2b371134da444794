#include "count.h"

#include <stdio.h>
#include <string.h>

static int failures;

static void expect(const char *text, size_t wanted) {
    size_t got = count_distinct(text, strlen(text));
    if (got != wanted) {
        printf("FAIL: \"%s\" has %zu words, not %zu\n", text, wanted, got);
        failures++;
    }
}

int main(void) {
    expect("", 0);
    expect("   \n\t ", 0);
    expect("one", 1);
    expect("one two one", 2);
    expect("a aa aaa a aa", 3);
    expect("tab\tand\nline\rend tab", 4);
    char many[40000];
    size_t at = 0;
    for (int i = 0; i < 3000; i++) at += (size_t)sprintf(many + at, "w%d ", i % 1700);
    expect(many, 1700);
    return failures != 0;
}
