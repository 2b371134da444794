/* A stand-in for libnvidia-ml.so.1 with two GPUs, one of which tells less and can be lost. */
#include <stdlib.h>
#include <string.h>

typedef struct { unsigned index; } Device;
typedef Device *Handle;
typedef struct { unsigned gpu, memory; } Utilization;
typedef struct { unsigned long long total, free, used; } Memory;

static Device devices[2] = {{0}, {1}};
enum { OK = 0, NOT_SUPPORTED = 3, LOST = 15 };

static int setting(const char *name, int otherwise) {
    const char *text = getenv(name);
    return text ? atoi(text) : otherwise;
}
static int poor(Handle d) { return setting("FAKE_LOST", 0) ? LOST : d->index ? NOT_SUPPORTED : OK; }

int nvmlInitWithFlags(unsigned flags) { return OK; }
int nvmlInit_v2(void) { return OK; }
int nvmlShutdown(void) { return OK; }
int nvmlDeviceGetCount_v2(unsigned *count) { *count = 2; return OK; }
int nvmlDeviceGetHandleByIndex_v2(unsigned index, Handle *out) {
    *out = &devices[index];
    return OK;
}
int nvmlDeviceGetName(Handle d, char *out, unsigned length) {
    strncpy(out, d->index ? "NVIDIA Small" : "NVIDIA H200", length);
    return OK;
}
int nvmlDeviceGetUUID(Handle d, char *out, unsigned length) {
    strncpy(out, d->index ? "GPU-bbbb0000-1111-2222-3333-444444444444"
                          : "GPU-aaaa0000-1111-2222-3333-444444444444", length);
    return OK;
}
int nvmlDeviceGetClockInfo(Handle d, unsigned kind, unsigned *out) {
    *out = kind == 1 ? 1410 : 2619;  /* SM, not memory */
    return setting("FAKE_LOST", 0) ? LOST : OK;
}
int nvmlDeviceGetMaxClockInfo(Handle d, unsigned kind, unsigned *out) {
    *out = kind == 1 ? 1980 : 3201;
    return poor(d);
}
int nvmlDeviceGetPowerUsage(Handle d, unsigned *out) { *out = 698500; return poor(d); }
int nvmlDeviceGetEnforcedPowerLimit(Handle d, unsigned *out) { *out = 700000; return poor(d); }
int nvmlDeviceGetTemperature(Handle d, unsigned kind, unsigned *out) { *out = 71; return poor(d); }
int nvmlDeviceGetUtilizationRates(Handle d, Utilization *out) {
    out->gpu = 97;
    out->memory = 40;
    return poor(d);
}
int nvmlDeviceGetMemoryInfo(Handle d, Memory *out) {
    out->total = 150754820096ull;
    out->used = 9000000000ull;
    out->free = out->total - out->used;
    return poor(d);
}
int nvmlDeviceGetCurrentClocksThrottleReasons(Handle d, unsigned long long *out) {
    *out = (unsigned long long)setting("FAKE_REASONS", 0);
    return poor(d);
}
int nvmlDeviceGetCurrentClocksEventReasons(Handle d, unsigned long long *out) {
    return nvmlDeviceGetCurrentClocksThrottleReasons(d, out);
}
