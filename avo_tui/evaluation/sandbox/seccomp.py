"""A seccomp filter for compilers and experiments: no sockets, no namespaces, no other processes.

The candidate's own process gets a far stricter filter on top from the runner that loads it. This
one must let a compiler driver work, so it refuses what is dangerous and allows the rest.
"""

from __future__ import annotations

import ctypes

from avo_tui.evaluation.sandbox import kernel

_AUDIT_ARCH = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}

# Numbers from the kernel's asm/unistd_64.h and asm-generic/unistd.h.
_REFUSED = {
    "x86_64": {
        "socket": 41, "connect": 42, "socketpair": 53, "bind": 49, "listen": 50,
        "kill": 62, "ptrace": 101, "syslog": 103, "personality": 135, "pivot_root": 155,
        "acct": 163, "chroot": 161, "mount": 165, "umount2": 166, "swapon": 167, "reboot": 169,
        "sethostname": 170, "init_module": 175, "delete_module": 176, "quotactl": 179,
        "add_key": 248, "request_key": 249, "keyctl": 250, "unshare": 272, "perf_event_open": 298,
        "fanotify_init": 300, "open_by_handle_at": 304, "setns": 308, "process_vm_readv": 310,
        "process_vm_writev": 311, "kcmp": 312, "finit_module": 313, "memfd_create": 319,
        "kexec_load": 246, "kexec_file_load": 320, "bpf": 321, "userfaultfd": 323,
        "rt_sigqueueinfo": 129, "mq_open": 240, "shmget": 29, "msgget": 68, "semget": 64,
    },
    "aarch64": {
        "socket": 198, "connect": 203, "socketpair": 199, "bind": 200, "listen": 201,
        "kill": 129, "ptrace": 117, "syslog": 116, "personality": 92, "pivot_root": 41,
        "acct": 89, "chroot": 51, "mount": 40, "umount2": 39, "swapon": 224, "reboot": 142,
        "sethostname": 161, "init_module": 105, "delete_module": 106, "quotactl": 60,
        "add_key": 217, "request_key": 218, "keyctl": 219, "unshare": 97, "perf_event_open": 241,
        "fanotify_init": 262, "open_by_handle_at": 265, "setns": 268, "process_vm_readv": 270,
        "process_vm_writev": 271, "kcmp": 272, "finit_module": 273, "memfd_create": 279,
        "kexec_load": 104, "kexec_file_load": 294, "bpf": 280, "userfaultfd": 282,
        "rt_sigqueueinfo": 138, "mq_open": 180, "shmget": 194, "msgget": 186, "semget": 190,
    },
}  # fmt: skip
_REFUSED_EVERYWHERE = {
    "pidfd_send_signal": 424, "io_uring_setup": 425, "io_uring_enter": 426,
    "io_uring_register": 427, "open_tree": 428, "move_mount": 429, "fsopen": 430, "fsmount": 432,
    "pidfd_open": 434, "pidfd_getfd": 438, "process_madvise": 440, "mount_setattr": 442,
    "memfd_secret": 447,
}  # fmt: skip
_CLONE = {"x86_64": 56, "aarch64": 220}
_CLONE3 = 435
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
        code += [(_JGE, 0, 1, 0x40000000), (_RET, 0, 0, _ERRNO | _ENOSYS)]
    for name, number in (_REFUSED[machine] | _REFUSED_EVERYWHERE).items():
        if name in allowed:
            continue
        code += [(_JEQ, 0, 1, number), (_RET, 0, 0, _ERRNO | _EPERM)]
    # A filter cannot look into clone3's argument; glibc falls back to clone.
    code += [(_JEQ, 0, 1, _CLONE3), (_RET, 0, 0, _ERRNO | _ENOSYS)]
    code += [
        (_JEQ, 0, 3, _CLONE[machine]),
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
    machine = kernel.machine()
    if machine not in _AUDIT_ARCH:
        return False
    code = _program(machine, allowed)
    array = (_Instruction * len(code))(*(_Instruction(*line) for line in code))
    program = _Program(len(code), array)
    try:
        kernel.prctl(kernel.PR_SET_SECCOMP, kernel.SECCOMP_MODE_FILTER, ctypes.byref(program))
    except OSError:
        return False
    return True
