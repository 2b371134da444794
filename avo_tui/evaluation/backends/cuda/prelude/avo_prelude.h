// Included before every candidate: what device code needs and NVRTC does not have by itself.
#pragma once

#define AVO 1

typedef signed char int8_t;
typedef unsigned char uint8_t;
typedef short int16_t;
typedef unsigned short uint16_t;
typedef int int32_t;
typedef unsigned int uint32_t;
typedef long long int64_t;
typedef unsigned long long uint64_t;
typedef uint64_t uintptr_t;
typedef int64_t intptr_t;

// A TMA descriptor, passed by value: `const __grid_constant__ CUtensorMap map`.
struct alignas(64) CUtensorMap {
    unsigned long long opaque[16];
};

#ifndef INFINITY
#define INFINITY __int_as_float(0x7f800000)
#endif
#ifndef NAN
#define NAN __int_as_float(0x7fffffff)
#endif
#ifndef FLT_MAX
#define FLT_MAX 3.402823466e+38f
#endif
