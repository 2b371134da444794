"""Reports of forbidden system calls: the Linux kernel tells the harness, not the candidate.

The candidate's process runs under a filter whose verdict on a forbidden call is
SECCOMP_RET_USER_NOTIF (seccomp_unotify(2)): the calling thread waits inside the kernel until the
harness answers. The harness holds the only descriptor, so no handler or patched function of the
candidate can hide the attempt. Layouts are those of `linux/seccomp.h`.
"""

from __future__ import annotations

import contextlib
import fcntl
import mmap
import os
import struct
from collections import Counter

from avo_tui.evaluation.sandbox.calls import name_of, number_of

_RECEIVE, _SEND = 0xC0502100, 0xC0182101
_NOTIFICATION = struct.Struct("=QIIiIQ6Q")  # id, pid, flags, nr, arch, instruction, arguments
_RESPONSE = struct.Struct("=QqiI")  # id, value, error, flags
_CONTINUE = 1


class Reports:
    """Receives the reports of one process's seccomp filter.

    While the dynamic loader maps the candidate, it may open one file and map `executable` segments
    of it; that happens before any instruction of the candidate runs. All further such calls,
    including those of constructors, are forbidden.
    """

    def __init__(self, descriptor: int, executable: int) -> None:
        """Owns `descriptor`; `executable`: how many executable segments the candidate has."""
        self.descriptor = descriptor
        self._left = Counter(
            {
                number_of("openat"): 1,
                number_of("getcwd"): 2,
                number_of("mmap"): executable,
                # Which of the two asks for the size of the file depends on the C library. After
                # loading they would tell the time: that a pipe was last written to, for one.
                number_of("fstat"): 1,
                number_of("newfstatat"): 1,
            }
        )

    def take(self) -> str | None:
        """Answers the next report: None if the call may pass, else the name of the call.

        A call that may not pass is never answered: its thread waits until the process is ended.
        A report that is withdrawn counts for nothing. That is no act of the candidate: when the
        process is stopped, frozen or traced meanwhile, Linux makes the same call once more.
        """
        buffer = bytearray(_NOTIFICATION.size)
        with contextlib.suppress(OSError):  # ENOENT: withdrawn before it was read, or answered
            fcntl.ioctl(self.descriptor, _RECEIVE, buffer)
            identity, _, _, number, _, _, *arguments = _NOTIFICATION.unpack(buffer)
            if self._left[number] <= 0 or not _reads_only(number, arguments):
                return _what(number, arguments)
            fcntl.ioctl(self.descriptor, _SEND, _RESPONSE.pack(identity, 0, 0, _CONTINUE))
            self._left[number] -= 1
        return None

    def loaded(self) -> None:
        """From now on, treat every report as a forbidden call."""
        self._left.clear()

    def close(self) -> None:
        """Gives the descriptor back."""
        with contextlib.suppress(OSError):
            os.close(self.descriptor)


def _what(number: int, arguments: list[int]) -> str:
    # The C library sets two signals of its own before it starts the first thread.
    if number == number_of("rt_sigaction") and arguments[0] in (32, 33):
        return "clone"
    return name_of(number)


def _reads_only(number: int, arguments: list[int]) -> bool:
    if number == number_of("openat"):
        return arguments[2] & os.O_ACCMODE == os.O_RDONLY
    if number == number_of("mmap"):
        return not arguments[2] & mmap.PROT_WRITE
    return True
