#include "count.h"

#include <stdlib.h>
#include <string.h>

typedef struct {
    const char *start;
    size_t length;
} word;

static int is_space(char c) {
    return c == ' ' || c == '\n' || c == '\t' || c == '\r';
}

size_t count_distinct(const char *text, size_t length) {
    word *seen = NULL;
    size_t count = 0, room = 0, at = 0;
    while (at < length) {
        while (at < length && is_space(text[at])) at++;
        size_t begin = at;
        while (at < length && !is_space(text[at])) at++;
        if (at == begin) continue;
        size_t i = 0;
        while (i < count && (seen[i].length != at - begin || memcmp(seen[i].start, text + begin, at - begin) != 0)) i++;
        if (i < count) continue;
        if (count == room) {
            room = room ? 2 * room : 16;
            seen = realloc(seen, room * sizeof *seen);
            if (!seen) abort();
        }
        seen[count].start = text + begin;
        seen[count].length = at - begin;
        count++;
    }
    free(seen);
    return count;
}
