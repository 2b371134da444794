"""A candidate: the source files of one kernel, identified by the hash of their content."""

from __future__ import annotations

import hashlib
import json
from functools import cached_property
from pathlib import PurePosixPath

from pydantic import field_validator

from avo_tui.domain.base import Value

MAX_FILES = 16
"""Most files that are read from a folder as one kernel."""
MOST_FILES, MOST_BYTES = 2000, 16 << 20
"""Most files of any candidate, and bytes of all together: those of a repository have many."""
MAX_FILE_BYTES = 512 * 1024


def check_file_name(name: str) -> str:
    """Return `name` if it is a safe relative POSIX path of a candidate's file.

    Raises ValueError with a sentence that says what is wrong.
    """
    path = PurePosixPath(name)
    if not name or "\\" in name or "\0" in name or path.is_absolute() or str(path) != name:
        raise ValueError(f"{name!r} is not a plain relative file name")
    if any(part in {"..", "."} or part.startswith(".") for part in path.parts):
        raise ValueError(f"{name!r} must not contain '..' or hidden parts")
    if len(path.parts) > 16 or len(name) > 240:
        raise ValueError(f"{name!r} is too deep or too long for a candidate's file")
    if not all(c.isalnum() or c in "._-/+@=" for c in name):
        raise ValueError(f"{name!r} has a character outside letters, digits and ._-/+@=")
    return name


class Candidate(Value):
    """Source files of one kernel, path → text."""

    files: dict[str, str]

    @field_validator("files")
    @classmethod
    def _check(cls, files: dict[str, str]) -> dict[str, str]:
        if not files:
            raise ValueError("a candidate has at least one file")
        if len(files) > MOST_FILES:
            raise ValueError(f"a candidate has at most {MOST_FILES} files, not {len(files)}")
        if sum(map(len, files.values())) > MOST_BYTES:
            raise ValueError(f"a candidate has at most {MOST_BYTES >> 20} MiB of text")
        for name, text in files.items():
            check_file_name(name)
            size = len(text.encode())
            if size > MAX_FILE_BYTES:
                raise ValueError(f"{name} has {size} bytes; the limit is {MAX_FILE_BYTES}")
        return dict(sorted(files.items()))

    def canonical(self) -> bytes:
        """The bytes that are stored and hashed: JSON with sorted keys, no spaces, UTF-8."""
        body = {"files": dict(sorted(self.files.items()))}
        return json.dumps(body, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()

    @cached_property
    def id(self) -> str:
        """SHA-256 of `canonical()`: the identity, and the name of the stored object."""
        return hashlib.sha256(self.canonical()).hexdigest()

    @property
    def short_id(self) -> str:
        """The first ten characters of the identity, as screens show it."""
        return self.id[:10]

    def with_file(self, name: str, text: str) -> Candidate:
        return Candidate(files={**self.files, name: text})
