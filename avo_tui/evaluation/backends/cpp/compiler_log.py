"""A compiler's log without what it warns of in its own headers.

GCC 12 and others warn of intrinsics ("'__Y' is used uninitialized" in avx512fintrin.h) once for
each use: pages that no author can change, and that push the errors out of what is kept of a log.
"""

from __future__ import annotations

import re

_LOCATED = re.compile(
    r"(?P<path>\S[^:\n]*):\d+:(?:\d+:)? (?P<kind>warning|note|error|fatal error): "
)
_CONTEXT = re.compile(
    r"In file included from |\s+from \S|\s+inlined from |In .*function|In lambda |\S+: In |\S+: At "
)


def without_header_warnings(log: str) -> str:
    """The log without warnings located in files outside of the candidate, which have absolute
    paths; a last line says how many were left out. Errors stay, and notes to them."""
    kept: list[str] = []
    before: list[str] = []
    """Lines that say where the next diagnostic is, such as "In function"."""
    dropped, dropping = 0, False
    for line in log.splitlines():
        if located := _LOCATED.match(line):
            kind, outside = located["kind"], located["path"].startswith("/")
            if kind == "note":
                dropping = dropping and outside
            else:
                dropping = kind == "warning" and outside
                dropped += dropping
            kept += [] if dropping else [*before, line]
            before = []
        elif _CONTEXT.match(line):
            before.append(line)
        elif not dropping:
            kept += [*before, line]
            before = []
    if not dropped:
        return log
    s = "s" if dropped > 1 else ""
    kept += [] if dropping else before
    kept.append(f"({dropped} warning{s} inside headers of the compiler left out)")
    return "\n".join(kept) + "\n"
