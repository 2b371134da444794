"""Numbers of system calls by name, for the filters and for what is said about a refused one.

From the kernel's asm/unistd_64.h and asm-generic/unistd.h. Calls above 423 have one number on all
architectures.
"""

from __future__ import annotations

from avo_tui.evaluation.sandbox import linux

_EVERYWHERE = {
    "pidfd_send_signal": 424, "io_uring_setup": 425, "io_uring_enter": 426,
    "io_uring_register": 427, "open_tree": 428, "move_mount": 429, "fsopen": 430, "fsmount": 432,
    "pidfd_open": 434, "clone3": 435, "close_range": 436, "openat2": 437, "pidfd_getfd": 438,
    "process_madvise": 440, "mount_setattr": 442, "landlock_restrict_self": 446,
    "memfd_secret": 447,
}  # fmt: skip
_BY_MACHINE = {
    "x86_64": {
        "read": 0, "mremap": 25,
        "write": 1, "open": 2, "close": 3, "fstat": 5, "poll": 7, "mmap": 9, "mprotect": 10,
        "rt_sigaction": 13, "ioctl": 16, "pwrite64": 18, "pipe": 22, "select": 23, "shmget": 29,
        "dup": 32, "dup2": 33, "pause": 34, "nanosleep": 35, "alarm": 37, "setitimer": 38,
        "socket": 41, "connect": 42, "sendto": 44, "sendmsg": 46, "bind": 49, "listen": 50,
        "socketpair": 53, "clone": 56, "fork": 57, "vfork": 58, "execve": 59, "kill": 62,
        "semget": 64, "msgget": 68, "fcntl": 72, "truncate": 76, "ftruncate": 77, "getcwd": 79,
        "unlink": 87, "getrusage": 98, "ptrace": 101, "syslog": 103, "setpgid": 109,
        "setsid": 112, "sigaltstack": 131, "personality": 135, "setpriority": 141,
        "pivot_root": 155, "prctl": 157, "arch_prctl": 158, "chroot": 161, "acct": 163,
        "mount": 165, "umount2": 166, "swapon": 167, "reboot": 169, "sethostname": 170,
        "init_module": 175, "delete_module": 176, "quotactl": 179, "tkill": 200,
        "futex": 202, "sched_setaffinity": 203, "remap_file_pages": 216, "timer_create": 222,
        "clock_gettime": 228, "clock_nanosleep": 230, "tgkill": 234, "mbind": 237, "mq_open": 240,
        "kexec_load": 246, "waitid": 247, "add_key": 248, "request_key": 249, "keyctl": 250,
        "openat": 257, "mkdirat": 258, "newfstatat": 262, "unlinkat": 263, "renameat": 264,
        "unshare": 272, "splice": 275, "vmsplice": 278, "timerfd_create": 283, "eventfd2": 290,
        "fallocate": 285,
        "rt_sigqueueinfo": 129, "perf_event_open": 298, "fanotify_init": 300, "prlimit64": 302,
        "open_by_handle_at": 304, "setns": 308, "process_vm_readv": 310,
        "process_vm_writev": 311, "kcmp": 312, "finit_module": 313, "seccomp": 317,
        "memfd_create": 319, "kexec_file_load": 320, "bpf": 321, "execveat": 322,
        "userfaultfd": 323, "pkey_mprotect": 329,
    },
    "aarch64": {
        "getcwd": 17, "dup": 23, "fcntl": 25, "ioctl": 29, "mkdirat": 34, "unlinkat": 35,
        "renameat": 38, "umount2": 39, "mount": 40, "pivot_root": 41, "truncate": 45,
        "ftruncate": 46, "fallocate": 47, "chroot": 51, "openat": 56, "close": 57,
        "read": 63, "mremap": 216,
        "quotactl": 60, "write": 64, "pwrite64": 68, "vmsplice": 75, "splice": 76,
        "newfstatat": 79, "fstat": 80, "timerfd_create": 85, "eventfd2": 19, "acct": 89,
        "personality": 92, "waitid": 95, "unshare": 97, "futex": 98, "nanosleep": 101,
        "setitimer": 103, "kexec_load": 104, "init_module": 105,
        "delete_module": 106, "timer_create": 107, "clock_gettime": 113, "clock_nanosleep": 115,
        "syslog": 116, "ptrace": 117, "sched_setaffinity": 122, "kill": 129, "tkill": 130,
        "tgkill": 131, "sigaltstack": 132, "rt_sigaction": 134, "rt_sigqueueinfo": 138,
        "setpriority": 140, "reboot": 142, "setpgid": 154, "setsid": 157, "sethostname": 161,
        "getrusage": 165, "prctl": 167, "mq_open": 180, "msgget": 186, "semget": 190,
        "shmget": 194, "socket": 198, "socketpair": 199, "bind": 200, "listen": 201,
        "connect": 203, "sendto": 206, "sendmsg": 211, "add_key": 217, "request_key": 218,
        "keyctl": 219, "clone": 220, "execve": 221, "mmap": 222, "swapon": 224, "mprotect": 226,
        "remap_file_pages": 234, "mbind": 235, "perf_event_open": 241, "prlimit64": 261,
        "fanotify_init": 262, "open_by_handle_at": 265, "setns": 268, "process_vm_readv": 270,
        "process_vm_writev": 271, "kcmp": 272, "finit_module": 273, "seccomp": 277,
        "memfd_create": 279, "bpf": 280, "execveat": 281, "userfaultfd": 282,
        "pkey_mprotect": 288, "kexec_file_load": 294,
    },
}  # fmt: skip


def table(machine: str) -> dict[str, int]:
    """Name → number on one architecture; empty for one that is not known."""
    known = _BY_MACHINE.get(machine)
    return known | _EVERYWHERE if known is not None else {}


def number_of(name: str) -> int:
    """The number of a call on this machine; -1 where it has none."""
    return table(linux.machine()).get(name, -1)


def name_of(number: int) -> str:
    """Such as `execve`; `number 999` for a call that is not in the table."""
    names = {value: name for name, value in table(linux.machine()).items()}
    return names.get(number, f"number {number}")
