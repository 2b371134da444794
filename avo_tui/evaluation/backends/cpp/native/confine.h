// seccomp filters of the process that runs a candidate, on top of the sandbox's general one.
//
// Before loading: nothing may start a process or a thread, talk to others or trace them; opening
// and mapping files still works, because the loader needs it. Before calling: only what computing,
// allocating and printing need. Calls that no kernel has a reason for are trapped, so that the
// verdict can name them; the rest fails with EPERM.

#pragma once

#include <cstddef>
#include <cstdint>
#include <initializer_list>

#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace confine {

struct Call {
    int number;
    const char* name;
};

#define CALL(name) {SYS_##name, #name}

inline constexpr Call STARTS_PROCESSES[] = {
#ifdef SYS_fork
    CALL(fork),
#endif
#ifdef SYS_vfork
    CALL(vfork),
#endif
    CALL(execve), CALL(execveat),
};

inline constexpr Call STARTS_THREADS[] = {CALL(clone), {435, "clone3"}};

inline constexpr Call REACHES_OUT[] = {
    CALL(socket), CALL(socketpair), CALL(connect), CALL(bind), CALL(listen), CALL(sendto),
    CALL(kill), CALL(tkill), CALL(rt_sigqueueinfo), CALL(ptrace), CALL(process_vm_readv),
    CALL(process_vm_writev), CALL(setsid), CALL(setpgid), CALL(unshare), CALL(setns), CALL(mount),
    CALL(perf_event_open), CALL(bpf), CALL(memfd_create), CALL(seccomp), {424, "pidfd_send_signal"},
    {425, "io_uring_setup"}, {434, "pidfd_open"},
};

inline constexpr Call TOUCHES_STATE[] = {  // refused once loading is over
#ifdef SYS_open
    CALL(open),
#endif
    CALL(openat), {437, "openat2"}, CALL(unlinkat), CALL(renameat), CALL(mkdirat),
    CALL(setitimer), CALL(timer_create), CALL(nanosleep), CALL(clock_nanosleep),
    CALL(sched_setaffinity), CALL(setpriority), CALL(prctl),
};

inline constexpr Call LIMITED[] = {  // allowed with some arguments
    CALL(mmap), CALL(mprotect), CALL(tgkill), CALL(rt_sigaction), CALL(write),
};

inline constexpr int COMPUTES[] = {  // allowed once loading is over
    SYS_read, SYS_exit, SYS_exit_group, SYS_rt_sigreturn, SYS_rt_sigprocmask, SYS_munmap, SYS_mremap,
    SYS_madvise, SYS_brk, SYS_futex, SYS_sched_yield, SYS_sched_getaffinity, SYS_clock_gettime,
    SYS_clock_getres, SYS_getpid, SYS_gettid, SYS_getrandom, SYS_sysinfo, SYS_sigaltstack,
    SYS_restart_syscall, SYS_set_robust_list, SYS_rseq,
    SYS_fstat, SYS_newfstatat, SYS_lseek,
};

inline const char* name_of(int number) {
    for (const Call& c : STARTS_PROCESSES) if (c.number == number) return c.name;
    for (const Call& c : STARTS_THREADS) if (c.number == number) return c.name;
    for (const Call& c : REACHES_OUT) if (c.number == number) return c.name;
    for (const Call& c : TOUCHES_STATE) if (c.number == number) return c.name;
    for (const Call& c : LIMITED) if (c.number == number) return c.name;
    return "call";
}

class Filter {
  public:
    Filter() {
#if defined(__x86_64__)
        add(BPF_LD | BPF_W | BPF_ABS, 0, 0, offsetof(seccomp_data, arch));
        add(BPF_JMP | BPF_JEQ | BPF_K, 1, 0, AUDIT_ARCH_X86_64);
        add(BPF_RET | BPF_K, 0, 0, SECCOMP_RET_KILL_PROCESS);
#elif defined(__aarch64__)
        add(BPF_LD | BPF_W | BPF_ABS, 0, 0, offsetof(seccomp_data, arch));
        add(BPF_JMP | BPF_JEQ | BPF_K, 1, 0, AUDIT_ARCH_AARCH64);
        add(BPF_RET | BPF_K, 0, 0, SECCOMP_RET_KILL_PROCESS);
#endif
        load_number();
    }

    void on(int number, uint32_t action) {
        add(BPF_JMP | BPF_JEQ | BPF_K, 0, 1, static_cast<uint32_t>(number));
        add(BPF_RET | BPF_K, 0, 0, action);
    }

    template <size_t N>
    void trap(const Call (&calls)[N]) {
        for (const Call& c : calls) on(c.number, SECCOMP_RET_TRAP);
    }

    // Allows the call if `argument & mask` equals `value`, else does `otherwise`.
    void only_if(int number, int argument, uint32_t mask, uint32_t value, uint32_t otherwise) {
        add(BPF_JMP | BPF_JEQ | BPF_K, 0, 5, static_cast<uint32_t>(number));
        add(BPF_LD | BPF_W | BPF_ABS, 0, 0,
            static_cast<uint32_t>(offsetof(seccomp_data, args) + 8 * argument));
        add(BPF_ALU | BPF_AND | BPF_K, 0, 0, mask);
        add(BPF_JMP | BPF_JEQ | BPF_K, 0, 1, value);
        add(BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW);
        add(BPF_RET | BPF_K, 0, 0, otherwise);
    }

    // Allows the call if the argument has this value; what it does otherwise is said later.
    void allow_if(int number, int argument, uint32_t value) {
        add(BPF_JMP | BPF_JEQ | BPF_K, 0, 4, static_cast<uint32_t>(number));
        add(BPF_LD | BPF_W | BPF_ABS, 0, 0,
            static_cast<uint32_t>(offsetof(seccomp_data, args) + 8 * argument));
        add(BPF_JMP | BPF_JEQ | BPF_K, 0, 1, value);
        add(BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW);
        load_number();
    }

    bool install(uint32_t otherwise) {
        add(BPF_RET | BPF_K, 0, 0, otherwise);
        sock_fprog program = {static_cast<unsigned short>(length_), code_};
        return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0) == 0;
    }

  private:
    void load_number() { add(BPF_LD | BPF_W | BPF_ABS, 0, 0, offsetof(seccomp_data, nr)); }
    void add(int code, uint8_t yes, uint8_t no, uint32_t k) {
        code_[length_++] = {static_cast<uint16_t>(code), yes, no, k};
    }
    sock_filter code_[512];
    size_t length_ = 0;
};

constexpr uint32_t EPERM_ACTION = SECCOMP_RET_ERRNO | 1;
constexpr uint32_t ENOSYS_ACTION = SECCOMP_RET_ERRNO | 38;

inline void threads_or_trap(Filter& filter, int threads) {
    if (threads > 1) {
        filter.on(435, ENOSYS_ACTION);  // clone3: its flags cannot be seen; glibc takes clone then
        filter.only_if(SYS_clone, 0, CLONE_THREAD, CLONE_THREAD, SECCOMP_RET_TRAP);
    } else {
        filter.trap(STARTS_THREADS);
    }
}

inline bool before_loading(int threads) {
    Filter filter;
    filter.trap(STARTS_PROCESSES);
    filter.trap(REACHES_OUT);
    threads_or_trap(filter, threads);
    return filter.install(SECCOMP_RET_ALLOW);
}

inline bool before_calling(int threads, int reply_fd) {
    Filter filter;
    filter.trap(TOUCHES_STATE);
    threads_or_trap(filter, threads);
    for (int number : COMPUTES) filter.on(number, SECCOMP_RET_ALLOW);
    filter.only_if(SYS_mmap, 2, PROT_EXEC, 0, SECCOMP_RET_TRAP);
    filter.only_if(SYS_mprotect, 2, PROT_EXEC, 0, SECCOMP_RET_TRAP);
    // The C library sets its own two signals, 32 and 33, before it starts the first thread.
    filter.only_if(SYS_rt_sigaction, 0, 0xFFFFFFFE, 32, SECCOMP_RET_TRAP);
    filter.only_if(SYS_tgkill, 0, 0xFFFFFFFF, static_cast<uint32_t>(getpid()), SECCOMP_RET_TRAP);
    for (int fd : {1, 2, reply_fd}) filter.allow_if(SYS_write, 0, static_cast<uint32_t>(fd));
    return filter.install(EPERM_ACTION);
}

}  // namespace confine
