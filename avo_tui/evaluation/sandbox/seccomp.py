"""A seccomp filter for compilers and experiments: no sockets, no namespaces, no other processes.

The candidate's own process gets a far stricter filter on top from the runner that loads it. This
one must let a compiler driver work, so it refuses what is dangerous and allows the rest.
"""

from __future__ import annotations

import ctypes

from avo_tui.evaluation.sandbox import calls, linux

_AUDIT_ARCH = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}

REFUSED = (
    "socket", "connect", "socketpair", "bind", "listen", "kill", "tkill", "ptrace", "syslog",
    "personality", "pivot_root", "acct", "chroot", "mount", "umount2", "swapon", "reboot",
    "sethostname", "init_module", "delete_module", "quotactl", "add_key", "request_key", "keyctl",
    "unshare", "perf_event_open", "fanotify_init", "open_by_handle_at", "setns",
    "process_vm_readv", "process_vm_writev", "kcmp", "finit_module", "memfd_create", "kexec_load",
    "kexec_file_load", "bpf", "userfaultfd", "rt_sigqueueinfo", "mq_open", "shmget", "msgget",
    "semget", "pidfd_send_signal", "io_uring_setup", "io_uring_enter", "io_uring_register",
    "open_tree", "move_mount", "fsopen", "fsmount", "pidfd_open", "pidfd_getfd",
    "process_madvise", "mount_setattr", "memfd_secret",
)  # fmt: skip
"""What no compiler, experiment or candidate needs."""
_NEW_NAMESPACE = 0x7E020000

_LD_W_ABS, _JEQ, _JSET, _JGE, _RET = 0x20, 0x15, 0x45, 0x35, 0x06
_ALLOW, _KILL_PROCESS, _ERRNO = 0x7FFF0000, 0x80000000, 0x00050000
_EPERM, _ENOSYS = 1, 38


class _Instruction(ctypes.Structure):
    _fields_ = [
        ("code", ctypes.c_uint16),
        ("jt", ctypes.c_uint8),
        ("jf", ctypes.c_uint8),
        ("k", ctypes.c_uint32),
    ]


class _Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_uint16), ("filter", ctypes.POINTER(_Instruction))]


def _program(machine: str, allowed: list[str]) -> list[tuple[int, int, int, int]]:
    code = [
        (_LD_W_ABS, 0, 0, 4),  # seccomp_data.arch
        (_JEQ, 1, 0, _AUDIT_ARCH[machine]),
        (_RET, 0, 0, _KILL_PROCESS),
        (_LD_W_ABS, 0, 0, 0),  # seccomp_data.nr
    ]
    if machine == "x86_64":  # the x32 calls are the same calls under other numbers
        code += [(_JGE, 0, 1, 0x40000000), (_RET, 0, 0, _KILL_PROCESS)]
    known = calls.table(machine)
    for name in REFUSED:
        if name in known and name not in allowed:
            code += [(_JEQ, 0, 1, known[name]), (_RET, 0, 0, _ERRNO | _EPERM)]
    # A filter cannot look into clone3's argument; glibc falls back to clone.
    code += [(_JEQ, 0, 1, known["clone3"]), (_RET, 0, 0, _ERRNO | _ENOSYS)]
    code += [
        (_JEQ, 0, 3, known["clone"]),
        (_LD_W_ABS, 0, 0, 16),  # low half of the flags
        (_JSET, 0, 1, _NEW_NAMESPACE),
        (_RET, 0, 0, _ERRNO | _EPERM),
        (_RET, 0, 0, _ALLOW),
    ]
    return code


def restrict(allowed: list[str]) -> bool:
    """Installs the filter for this process and its children; False where there is none to install.

    `allowed`: names of calls that are not refused after all (a GPU driver needs some). Needs
    PR_SET_NO_NEW_PRIVS.
    """
    machine = linux.machine()
    if machine not in _AUDIT_ARCH:
        return False
    code = _program(machine, allowed)
    array = (_Instruction * len(code))(*(_Instruction(*line) for line in code))
    program = _Program(len(code), array)
    try:
        linux.prctl(linux.PR_SET_SECCOMP, linux.SECCOMP_MODE_FILTER, ctypes.byref(program))
    except OSError:
        return False
    return True
