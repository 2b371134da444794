"""Thin access to the Linux calls that the launcher needs and Python does not offer.

Kept to `os` and `ctypes`, because every sandboxed command pays for the imports of its launcher.
Numbers are those of the kernel's headers (`linux/prctl.h`, `linux/mount.h`, `linux/sched.h`).
"""

from __future__ import annotations

import ctypes
import os

PR_SET_PDEATHSIG = 1
PR_SET_NO_NEW_PRIVS = 38
PR_SET_SECCOMP = 22
PR_SET_CHILD_SUBREAPER = 36
SECCOMP_MODE_FILTER = 2

CLONE_NEWNS = 0x00020000
CLONE_NEWUTS = 0x04000000
CLONE_NEWIPC = 0x08000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000

MS_NOSUID = 2
MS_NODEV = 4
MS_NOEXEC = 8
MS_BIND = 4096
MS_REC = 16384
MS_PRIVATE = 1 << 18
MNT_DETACH = 2

AT_FDCWD = -100
AT_RECURSIVE = 0x8000
MOUNT_ATTR_RDONLY = 1
MOUNT_ATTR_NOSUID = 2

# Calls above 423 have one number on all architectures.
NR_PIVOT_ROOT = {"x86_64": 155, "aarch64": 41}
NR_MOUNT_SETATTR = 442
NR_LANDLOCK_CREATE_RULESET = 444
NR_LANDLOCK_ADD_RULE = 445
NR_LANDLOCK_RESTRICT_SELF = 446

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long


def _checked(result: int, what: str) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
    return result


def machine() -> str:
    """The kernel's name of the architecture, such as `x86_64`."""
    return os.uname().machine


def syscall(number: int, *arguments: object, what: str) -> int:
    """A raw system call; raises OSError that names `what`."""
    converted = [ctypes.c_long(a) if isinstance(a, int) else a for a in arguments]
    return _checked(int(_libc.syscall(ctypes.c_long(number), *converted)), what)


def prctl(option: int, *arguments: object) -> int:
    """prctl(2) with its trailing arguments zero."""
    converted = [ctypes.c_ulong(a) if isinstance(a, int) else a for a in arguments]
    converted += [ctypes.c_ulong(0)] * (4 - len(converted))
    return _checked(int(_libc.prctl(ctypes.c_int(option), *converted)), f"prctl {option}")


def unshare(flags: int) -> None:
    """unshare(2)."""
    _checked(int(_libc.unshare(ctypes.c_int(flags))), "unshare")


def mount(source: str, target: str, kind: str | None, flags: int, data: str | None = None) -> None:
    """mount(2)."""
    result = _libc.mount(
        source.encode(),
        target.encode(),
        kind.encode() if kind is not None else None,
        ctypes.c_ulong(flags),
        data.encode() if data is not None else None,
    )
    _checked(int(result), f"mount {target}")


def unmount(target: str) -> None:
    """umount2(2), detached."""
    _checked(int(_libc.umount2(target.encode(), MNT_DETACH)), f"umount {target}")


class _MountAttributes(ctypes.Structure):
    _fields_ = [
        ("attr_set", ctypes.c_uint64),
        ("attr_clr", ctypes.c_uint64),
        ("propagation", ctypes.c_uint64),
        ("userns_fd", ctypes.c_uint64),
    ]


def set_mount_attributes(path: str, attributes: int) -> None:
    """mount_setattr(2) on `path` and everything mounted under it (Linux 5.12)."""
    value = _MountAttributes(attr_set=attributes)
    syscall(
        NR_MOUNT_SETATTR,
        AT_FDCWD,
        ctypes.c_char_p(path.encode()),
        AT_RECURSIVE,
        ctypes.byref(value),
        ctypes.sizeof(value),
        what=f"mount_setattr {path}",
    )


def pivot_root(new: str) -> None:
    """Makes `new` the root and detaches the old one."""
    os.chdir(new)
    syscall(
        NR_PIVOT_ROOT[machine()], ctypes.c_char_p(b"."), ctypes.c_char_p(b"."), what="pivot_root"
    )
    unmount(".")
    os.chdir("/")
