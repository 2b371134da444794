/* Lets one kind of system call fail for a while, for files below one folder. Used by measure.py.
 *
 * Preloaded into the process under test (LD_PRELOAD). AVO_SHIM_FOLDER is the folder,
 * AVO_SHIM_CONTROL a file of 64 bytes that the test writes: the name of the call that is to fail
 * ("everything": all; empty: none), the errno, and how many calls were made to fail so far.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

struct control {
    char call[32];
    int error;
    int failed;
};

static struct control *control;
static const char *folder;

__attribute__((constructor)) static void begin(void) {
    const char *path = getenv("AVO_SHIM_CONTROL");
    folder = getenv("AVO_SHIM_FOLDER");
    if (!path || !folder) return;
    int descriptor = syscall(SYS_openat, AT_FDCWD, path, O_RDWR | O_CLOEXEC);
    if (descriptor < 0) return;
    void *map = mmap(NULL, sizeof *control, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0);
    if (map != MAP_FAILED) control = map;
    syscall(SYS_close, descriptor);
}

static int below(const char *path) {
    return path && !strncmp(path, folder, strlen(folder));
}

static int open_below(int descriptor) {
    char link[64], path[PATH_MAX];
    snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
    ssize_t length = syscall(SYS_readlinkat, AT_FDCWD, link, path, sizeof path - 1);
    if (length < 0) return 0;
    path[length] = 0;
    return below(path);
}

/* True, with errno set, where this call is to fail now. */
static int fails(const char *call, const char *path, int descriptor) {
    if (!control || !control->call[0]) return 0;
    if (strcmp(control->call, call) && strcmp(control->call, "everything")) return 0;
    if (!(path ? below(path) : open_below(descriptor))) return 0;
    __atomic_add_fetch(&control->failed, 1, __ATOMIC_SEQ_CST);
    errno = control->error;
    return 1;
}

#define REAL(kind, name, ...) \
    static kind (*real)(__VA_ARGS__); \
    if (!real) real = (kind (*)(__VA_ARGS__))dlsym(RTLD_NEXT, name)

static const char *open_kind(int flags) {
    return (flags & O_ACCMODE) == O_RDONLY ? "open to read" : "open to write";
}

#define OPEN(name) \
    int name(const char *path, int flags, ...) { \
        va_list more; \
        va_start(more, flags); \
        mode_t mode = va_arg(more, mode_t); \
        va_end(more); \
        REAL(int, #name, const char *, int, ...); \
        return fails(open_kind(flags), path, -1) ? -1 : real(path, flags, mode); \
    }
OPEN(open)
OPEN(open64)

#define OPENAT(name) \
    int name(int at, const char *path, int flags, ...) { \
        va_list more; \
        va_start(more, flags); \
        mode_t mode = va_arg(more, mode_t); \
        va_end(more); \
        REAL(int, #name, int, const char *, int, ...); \
        return fails(open_kind(flags), path, -1) ? -1 : real(at, path, flags, mode); \
    }
OPENAT(openat)
OPENAT(openat64)

#define BY_PATH(name, call, types, values, path) \
    int name types { \
        REAL(int, #name, PARAMETERS types); \
        return fails(call, path, -1) ? -1 : real values; \
    }
#define PARAMETERS(...) __VA_ARGS__

BY_PATH(rename, "rename", (const char *a, const char *b), (a, b), a)
BY_PATH(renameat, "rename", (int x, const char *a, int y, const char *b), (x, a, y, b), a)
BY_PATH(link, "link", (const char *a, const char *b), (a, b), a)
BY_PATH(linkat, "link", (int x, const char *a, int y, const char *b, int f), (x, a, y, b, f), a)
BY_PATH(unlink, "unlink", (const char *a), (a), a)
BY_PATH(unlinkat, "unlink", (int x, const char *a, int f), (x, a, f), a)
BY_PATH(mkdir, "mkdir", (const char *a, mode_t m), (a, m), a)
BY_PATH(mkdirat, "mkdir", (int x, const char *a, mode_t m), (x, a, m), a)
BY_PATH(rmdir, "rmdir", (const char *a), (a), a)
BY_PATH(chmod, "chmod", (const char *a, mode_t m), (a, m), a)
BY_PATH(stat, "stat", (const char *a, struct stat *s), (a, s), a)
BY_PATH(stat64, "stat", (const char *a, struct stat64 *s), (a, s), a)
BY_PATH(lstat64, "stat", (const char *a, struct stat64 *s), (a, s), a)
BY_PATH(fstatat64, "stat", (int x, const char *a, struct stat64 *s, int f), (x, a, s, f), a)
BY_PATH(utimensat, "utime", (int x, const char *a, const struct timespec t[2], int f), (x, a, t, f), a)

#define BY_DESCRIPTOR(kind, name, call, types, values) \
    kind name types { \
        REAL(kind, #name, PARAMETERS types); \
        return fails(call, NULL, d) ? -1 : real values; \
    }

BY_DESCRIPTOR(ssize_t, write, "write", (int d, const void *b, size_t n), (d, b, n))
BY_DESCRIPTOR(ssize_t, pwrite, "write", (int d, const void *b, size_t n, off_t o), (d, b, n, o))
BY_DESCRIPTOR(ssize_t, pwrite64, "write", (int d, const void *b, size_t n, off64_t o), (d, b, n, o))
BY_DESCRIPTOR(ssize_t, read, "read", (int d, void *b, size_t n), (d, b, n))
BY_DESCRIPTOR(int, fsync, "fsync", (int d), (d))
BY_DESCRIPTOR(int, fdatasync, "fdatasync", (int d), (d))
BY_DESCRIPTOR(int, ftruncate, "ftruncate", (int d, off_t n), (d, n))
BY_DESCRIPTOR(int, ftruncate64, "ftruncate", (int d, off64_t n), (d, n))
BY_DESCRIPTOR(int, futimens, "utime", (int d, const struct timespec t[2]), (d, t))
BY_DESCRIPTOR(int, fstat, "fstat", (int d, struct stat *s), (d, s))
BY_DESCRIPTOR(int, fstat64, "fstat", (int d, struct stat64 *s), (d, s))
BY_DESCRIPTOR(int, flock, "flock", (int d, int o), (d, o))
BY_DESCRIPTOR(off64_t, lseek64, "lseek", (int d, off64_t o, int w), (d, o, w))

int close(int d) { /* as Linux: the error comes, and the descriptor is closed all the same */
    REAL(int, "close", int);
    int failed = fails("close", NULL, d), error = errno, result = real(d);
    if (failed) errno = error;
    return failed ? -1 : result;
}

int posix_fallocate64(int d, off64_t o, off64_t n) {
    REAL(int, "posix_fallocate64", int, off64_t, off64_t);
    return fails("fallocate", NULL, d) ? errno : real(d, o, n);
}

int posix_fallocate(int d, off_t o, off_t n) {
    REAL(int, "posix_fallocate", int, off_t, off_t);
    return fails("fallocate", NULL, d) ? errno : real(d, o, n);
}

DIR *opendir(const char *path) {
    REAL(DIR *, "opendir", const char *);
    return fails("opendir", path, -1) ? NULL : real(path);
}

struct dirent64 *readdir64(DIR *d) {
    REAL(struct dirent64 *, "readdir64", DIR *);
    return fails("readdir", NULL, dirfd(d)) ? NULL : real(d);
}
