// The seccomp filter of the process that runs a candidate, on top of the sandbox's general one.
//
// It is installed before the candidate is loaded, so constructors run under it too. What computing,
// allocating and printing need is allowed; everything else is forbidden. A forbidden call is
// reported by the Linux kernel to the harness (seccomp_unotify(2)), which holds the only descriptor
// of the reports and ends the process: no signal handler of the candidate is involved. The few calls
// that the dynamic loader needs to map the candidate are forbidden as well; the harness lets exactly
// that many of them pass while it knows that the loader is at work.
//
// Where the kernel offers no such reports, a forbidden call kills the process at once, and two
// filters are installed: one that lets the loader work, and a second one after loading.

#pragma once

#include <csignal>
#include <cstddef>
#include <cstdint>
#include <initializer_list>

#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef SECCOMP_RET_USER_NOTIF
#define SECCOMP_RET_USER_NOTIF 0x7fc00000U
#endif
#ifndef SECCOMP_FILTER_FLAG_NEW_LISTENER
#define SECCOMP_FILTER_FLAG_NEW_LISTENER (1UL << 3)
#endif

namespace confine {

constexpr int CLONE3 = 435;
constexpr uint32_t ENOSYS_ACTION = SECCOMP_RET_ERRNO | 38;

inline constexpr int COMPUTES[] = {
    SYS_read, SYS_exit, SYS_exit_group, SYS_rt_sigreturn, SYS_rt_sigprocmask, SYS_munmap, SYS_madvise, SYS_brk, SYS_sched_yield, SYS_sched_getaffinity, SYS_getpid, SYS_gettid,
    SYS_getrandom, SYS_restart_syscall, SYS_set_robust_list, SYS_lseek,
    SYS_close, SYS_pread64, SYS_getcpu, SYS_uname,
};

// What the candidate must have no access to, and the only places that do: the addresses behind the
// three instructions of the runner's loop that call the system (see runner.cpp).
struct Channel {
    int descriptor, words;
    const char *told, *answered, *asked;
};

class Filter {
  public:
    explicit Filter(uint32_t forbidden) : forbidden_(forbidden) {
        add(BPF_LD | BPF_W | BPF_ABS, 0, 0, offsetof(seccomp_data, arch));
#if defined(__x86_64__)
        add(BPF_JMP | BPF_JEQ | BPF_K, 1, 0, AUDIT_ARCH_X86_64);
#elif defined(__aarch64__)
        add(BPF_JMP | BPF_JEQ | BPF_K, 1, 0, AUDIT_ARCH_AARCH64);
#endif
        add(BPF_RET | BPF_K, 0, 0, SECCOMP_RET_KILL_PROCESS);
        add(BPF_LD | BPF_W | BPF_ABS, 0, 0, offsetof(seccomp_data, nr));
    }

    void on(int number, uint32_t action) {
        add(BPF_JMP | BPF_JEQ | BPF_K, 0, 1, static_cast<uint32_t>(number));
        add(BPF_RET | BPF_K, 0, 0, action);
    }

    void allow(int number) { on(number, SECCOMP_RET_ALLOW); }

    // Allows the call if `argument & mask` equals one of the values; forbids it otherwise.
    void allow_if(int number, int argument, uint32_t mask, std::initializer_list<uint32_t> values) {
        auto count = static_cast<uint8_t>(values.size());
        add(BPF_JMP | BPF_JEQ | BPF_K, 0, static_cast<uint8_t>(3 + 2 * count),
            static_cast<uint32_t>(number));
        add(BPF_LD | BPF_W | BPF_ABS, 0, 0,
            static_cast<uint32_t>(offsetof(seccomp_data, args) + 8 * argument));
        add(BPF_ALU | BPF_AND | BPF_K, 0, 0, mask);
        for (uint32_t value : values) {
            add(BPF_JMP | BPF_JEQ | BPF_K, 0, 1, value);
            add(BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW);
        }
        add(BPF_RET | BPF_K, 0, 0, forbidden_);
    }

    // Allows the call on `descriptor` from one instruction, the one before `after`, and forbids it
    // from any other; other rules decide on other descriptors.
    void only_at(int number, int descriptor, const char* after) {
        auto address = reinterpret_cast<uint64_t>(after);
        add(BPF_JMP | BPF_JEQ | BPF_K, 0, 9, static_cast<uint32_t>(number));
        add(BPF_LD | BPF_W | BPF_ABS, 0, 0, offsetof(seccomp_data, args));
        add(BPF_JMP | BPF_JEQ | BPF_K, 0, 6, static_cast<uint32_t>(descriptor));
        add(BPF_LD | BPF_W | BPF_ABS, 0, 0, offsetof(seccomp_data, instruction_pointer));
        add(BPF_JMP | BPF_JEQ | BPF_K, 0, 3, static_cast<uint32_t>(address));
        add(BPF_LD | BPF_W | BPF_ABS, 0, 0, offsetof(seccomp_data, instruction_pointer) + 4);
        add(BPF_JMP | BPF_JEQ | BPF_K, 0, 1, static_cast<uint32_t>(address >> 32));
        add(BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW);
        add(BPF_RET | BPF_K, 0, 0, forbidden_);
        add(BPF_LD | BPF_W | BPF_ABS, 0, 0, offsetof(seccomp_data, nr));
    }

    // Forbids the call if `argument` equals one of the values; other rules decide otherwise.
    void forbid_if(int number, int argument, std::initializer_list<uint32_t> values) {
        auto count = static_cast<uint8_t>(values.size());
        add(BPF_JMP | BPF_JEQ | BPF_K, 0, static_cast<uint8_t>(2 + 2 * count),
            static_cast<uint32_t>(number));
        add(BPF_LD | BPF_W | BPF_ABS, 0, 0,
            static_cast<uint32_t>(offsetof(seccomp_data, args) + 8 * argument));
        for (uint32_t value : values) {
            add(BPF_JMP | BPF_JEQ | BPF_K, 0, 1, value);
            add(BPF_RET | BPF_K, 0, 0, forbidden_);
        }
        add(BPF_LD | BPF_W | BPF_ABS, 0, 0, offsetof(seccomp_data, nr));
    }

    // Allows futex(2) without a time limit. With one it tells the time: a wait until a moment that
    // has passed ends at once.
    void allow_futex() {
        constexpr uint32_t WAITS[] = {0, 6, 9, 11, 13};  // WAIT, LOCK_PI, WAIT_BITSET, …_PI, LOCK_PI2
        constexpr uint8_t COUNT = sizeof WAITS / sizeof WAITS[0];
        constexpr auto TIMEOUT = static_cast<uint32_t>(offsetof(seccomp_data, args) + 8 * 3);
        add(BPF_JMP | BPF_JEQ | BPF_K, 0, 3 + COUNT + 6, SYS_futex);
        add(BPF_LD | BPF_W | BPF_ABS, 0, 0, static_cast<uint32_t>(offsetof(seccomp_data, args) + 8));
        add(BPF_ALU | BPF_AND | BPF_K, 0, 0, 0x7F);
        for (uint8_t i = 0; i < COUNT; ++i)
            add(BPF_JMP | BPF_JEQ | BPF_K, static_cast<uint8_t>(COUNT - i), 0, WAITS[i]);
        add(BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW);
        add(BPF_LD | BPF_W | BPF_ABS, 0, 0, TIMEOUT);
        add(BPF_JMP | BPF_JEQ | BPF_K, 0, 3, 0);
        add(BPF_LD | BPF_W | BPF_ABS, 0, 0, TIMEOUT + 4);
        add(BPF_JMP | BPF_JEQ | BPF_K, 0, 1, 0);
        add(BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW);
        add(BPF_RET | BPF_K, 0, 0, forbidden_);
    }

    // Returns a descriptor of the reports (with NEW_LISTENER), 0, or -1.
    int install(unsigned long flags) {
        add(BPF_RET | BPF_K, 0, 0, forbidden_);
        sock_fprog program = {static_cast<unsigned short>(length_), code_};
        return static_cast<int>(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &program));
    }

  private:
    void add(int code, uint8_t yes, uint8_t no, uint32_t k) {
        code_[length_++] = {static_cast<uint16_t>(code), yes, no, k};
    }
    uint32_t forbidden_;
    sock_filter code_[256];
    size_t length_ = 0;
};

inline int install(uint32_t forbidden, unsigned long flags, int threads, const Channel& channel,
                   bool loading) {
    Filter filter(forbidden);
    filter.only_at(SYS_read, channel.descriptor, channel.asked);
    filter.only_at(SYS_write, channel.descriptor, channel.answered);
    filter.only_at(SYS_sendmsg, channel.descriptor, channel.told);
    for (int number : COMPUTES) filter.allow(number);
    filter.allow_futex();
    filter.allow_if(SYS_write, 0, 0xFFFFFFFF, {1, 2, static_cast<uint32_t>(channel.words)});
    // Growing a block may move it, but not to where code was: code stays where it is.
    filter.allow_if(SYS_mremap, 3, ~static_cast<uint32_t>(MREMAP_MAYMOVE), {0});
    // Signals to itself, as abort() sends one, but none that stops it: stopping and waking is the
    // harness's, and time in which somebody else stopped a process is not charged to it.
    filter.forbid_if(SYS_tgkill, 2, {SIGSTOP, SIGTSTP, SIGTTIN, SIGTTOU, SIGCONT});
    filter.allow_if(SYS_tgkill, 0, 0xFFFFFFFF, {static_cast<uint32_t>(getpid())});
#if defined(__x86_64__)
    // ARCH_GET_XCOMP_PERM and ARCH_REQ_XCOMP_PERM: what a kernel that uses AMX says where nobody has
    // asked before. The runner has, so that nothing changes.
    filter.allow_if(SYS_arch_prctl, 0, 0xFFFFFFFF, {0x1022, 0x1023});
#endif
    if (threads > 1) {
        filter.on(CLONE3, ENOSYS_ACTION);  // its flags cannot be seen; glibc then takes clone
        filter.allow_if(SYS_clone, 0, CLONE_THREAD, {CLONE_THREAD});
        // The C library sets its own two signals before it starts the first thread.
        filter.allow_if(SYS_rt_sigaction, 0, 0xFFFFFFFF, {32, 33});
    }
    if (loading) {
        filter.allow(SYS_getcwd);
        filter.allow(SYS_fstat);
        filter.allow(SYS_newfstatat);
        filter.allow(SYS_seccomp);
        filter.allow_if(SYS_openat, 2, O_ACCMODE, {O_RDONLY});
        filter.allow(SYS_mmap);
        filter.allow(SYS_mprotect);
    } else {
        filter.allow_if(SYS_mmap, 2, PROT_EXEC, {0});
        filter.allow_if(SYS_mprotect, 2, PROT_EXEC, {0});
    }
    return filter.install(flags);
}

// In force from here on. Returns the descriptor of the reports, or -1 where there are none.
inline int before_loading(int threads, const Channel& channel, bool* confined) {
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    int reports = install(SECCOMP_RET_USER_NOTIF, SECCOMP_FILTER_FLAG_NEW_LISTENER, threads, channel,
                          false);
    *confined = reports >= 0;
    if (reports < 0)
        *confined = install(SECCOMP_RET_KILL_PROCESS, 0, threads, channel, true) == 0;
    return reports;
}

// Only where there are no reports.
inline bool before_calling(int threads, const Channel& channel) {
    return install(SECCOMP_RET_KILL_PROCESS, 0, threads, channel, false) == 0;
}

}  // namespace confine
