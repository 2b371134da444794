// The same, hidden from a reader of directives.
#define FILE_NAME "/etc/passwd"
#include FILE_NAME
#include "base.cuh"
extern "C" __global__ void attention(SIGNATURE) { attend(ARGUMENTS); }
