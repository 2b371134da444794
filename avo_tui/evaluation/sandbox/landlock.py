"""Landlock: confines a process and its children to named files, without privileges.

Access bits and structures are those of `linux/landlock.h`; ABI 1 is Linux 5.13.
"""

# pathlib would take longer to import than the rest of the launcher
# ruff: noqa: PTH112

from __future__ import annotations

import ctypes
import os

from avo_tui.evaluation.sandbox import linux

_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = 1, 2, 4, 8
_ALL_OF_ABI_1 = (1 << 13) - 1
_REFER, _TRUNCATE, _IOCTL_DEV = 1 << 13, 1 << 14, 1 << 15
_BIND_TCP, _CONNECT_TCP = 1, 2
_SCOPE_ABSTRACT_UNIX, _SCOPE_SIGNAL = 1, 2
_RULE_PATH_BENEATH = 1
_CREATE_RULESET_VERSION = 1

_FILE_BITS = _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE | _IOCTL_DEV


class _Ruleset(ctypes.Structure):
    _fields_ = [
        ("handled_access_fs", ctypes.c_uint64),
        ("handled_access_net", ctypes.c_uint64),
        ("scoped", ctypes.c_uint64),
    ]


class _PathBeneath(ctypes.Structure):
    _pack_ = 1
    _layout_ = "ms"
    _fields_ = [("allowed_access", ctypes.c_uint64), ("parent_fd", ctypes.c_int32)]


def version() -> int:
    """The kernel's Landlock ABI; 0 where there is none."""
    try:
        return linux.syscall(
            linux.NR_LANDLOCK_CREATE_RULESET, None, 0, _CREATE_RULESET_VERSION, what="landlock"
        )
    except OSError:
        return 0


def _handled(abi: int) -> int:
    access = _ALL_OF_ABI_1
    if abi >= 2:
        access |= _REFER
    if abi >= 3:
        access |= _TRUNCATE
    if abi >= 5:
        access |= _IOCTL_DEV
    return access


def _allow(ruleset: int, path: str, access: int) -> None:
    try:
        fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        if not os.path.isdir(path):
            access &= _FILE_BITS
        rule = _PathBeneath(allowed_access=access, parent_fd=fd)
        linux.syscall(
            linux.NR_LANDLOCK_ADD_RULE,
            ruleset,
            _RULE_PATH_BENEATH,
            ctypes.byref(rule),
            0,
            what=f"landlock rule for {path}",
        )
    finally:
        os.close(fd)


def restrict(read: list[str], write: list[str], devices: list[str], network: bool = False) -> int:
    """Confines this process for ever; returns the ABI in force (0: none).

    `read`: files and folders to read and execute; `write`: folders with every right;
    `devices`: files to read and write. TCP, abstract sockets and signals to processes outside are
    refused too where the ABI knows them; TCP is not with `network`. Needs PR_SET_NO_NEW_PRIVS.
    """
    abi = version()
    if abi == 0:
        return 0
    handled = _handled(abi)
    value = _Ruleset(handled_access_fs=handled)
    size = 8
    if abi >= 4:
        value.handled_access_net = 0 if network else _BIND_TCP | _CONNECT_TCP
        size = 16
    if abi >= 6:
        value.scoped = _SCOPE_ABSTRACT_UNIX | _SCOPE_SIGNAL
        size = 24
    ruleset = linux.syscall(
        linux.NR_LANDLOCK_CREATE_RULESET, ctypes.byref(value), size, 0, what="landlock ruleset"
    )
    try:
        for path in read:
            _allow(ruleset, path, (_EXECUTE | _READ_FILE | _READ_DIR) & handled)
        for path in write:
            _allow(ruleset, path, handled)
        for path in devices:
            _allow(ruleset, path, (_READ_FILE | _WRITE_FILE | _IOCTL_DEV) & handled)
        linux.syscall(linux.NR_LANDLOCK_RESTRICT_SELF, ruleset, 0, what="landlock restrict")
    finally:
        os.close(ruleset)
    return abi
