#pragma once
#include <stddef.h>

/* The number of different words in a text; words are apart by spaces, tabs and line ends. */
size_t count_distinct(const char *text, size_t length);
