"""Reads a text file that a person named on the command line."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Final

MOST: Final = 64 << 20
"""Most bytes of such a file; `/dev/zero` and a wrong name of a large file would fill the memory."""


def read_given_text(path: Path) -> str:
    """The text of a file.

    Raises ValueError, with one sentence for the person, for what is no file (a pipe would be waited
    for), for one of more than `MOST` bytes and for what is not UTF-8; OSError where it cannot be
    read.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        mode = os.fstat(descriptor).st_mode
        if not stat.S_ISREG(mode):
            kind = "a folder" if stat.S_ISDIR(mode) else "a pipe or a device"
            raise ValueError(f"{path} is {kind}: give a file")
        try:
            data = file.read(MOST + 1)
        except OSError as error:
            raise OSError(error.errno, error.strerror, str(path)) from error
    if len(data) > MOST:
        raise ValueError(f"{path} is longer than {MOST >> 20} MiB: it cannot be what is meant")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not UTF-8 text") from error
