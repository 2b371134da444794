"""A compiler's log without what it warns of in its headers of intrinsics.

GCC 12 and others warn of them ("'__Y' is used uninitialized" in avx512fintrin.h) once for each use:
pages that no author can change, and that push the errors out of what is kept of a log.
"""

from __future__ import annotations

import re

_LOCATED = re.compile(r"(?P<path>\S[^:\n]*):\d+:(?:\d+:)? (?P<kind>warning|note): ")
_OF_INTRINSICS = re.compile(r"/\S*intrin\.h:\d+:.* warning: .*\[-W(?:maybe-)?uninitialized\]$")
_CONTEXT = re.compile(
    r"In file included from |\s+from \S|\s+inlined from |In .*function|\S*intrin\.h: In "
)
_QUOTED = re.compile(r"\s*\d* +\|")
"""A line of the source that a diagnostic quotes, or the marks below it."""


def without_header_warnings(log: str) -> str:
    """The log without warnings of uninitialized values inside headers of intrinsics; a last line
    says how many were left out. Every other line stays, in its order."""
    kept: list[str] = []
    before: list[str] = []
    """Lines that say where the next diagnostic is, such as "In function"."""
    dropped, dropping = 0, False
    for line in log.splitlines():
        located = _LOCATED.match(line)
        if located and located["kind"] == "warning":
            dropping = bool(_OF_INTRINSICS.match(line))
            dropped += dropping
        elif located:  # a note belongs to what stands before it
            dropping = dropping and located["path"].endswith("intrin.h")
        elif _CONTEXT.match(line):
            before.append(line)
            continue
        else:
            dropping = dropping and not before and bool(_QUOTED.match(line))
        kept += [] if dropping else [*before, line]
        before = []
    if not dropped:
        return log
    s = "s" if dropped > 1 else ""
    left = f"({dropped} warning{s} inside headers of the compiler left out)"
    return "\n".join([*kept, *before, left]) + "\n"
