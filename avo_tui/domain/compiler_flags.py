"""The lines `// flags: …` by which a source asks for further compiler flags.

Languages that have them are C, C++ and Rust; which flags are allowed is the backend's rule.
"""

from __future__ import annotations

import re

from avo_tui.domain.candidate import Candidate

FLAGS_LINE = re.compile(r"^[^\S\n]*//[^\S\n]*flags:(.*)$", re.MULTILINE)
"""A whole line; group 1 holds the flags, separated by blanks."""

PREPROCESSED = (".c", ".cc", ".cpp", ".cxx")
"""Suffixes of sources in which `#line` sets the number of the next line."""

_SUFFIXES = (*PREPROCESSED, ".rs")
_FLAGS = re.compile(r"[ -~]{0,500}")


def with_flags(candidate: Candidate, flags: str) -> Candidate:
    """The candidate with `flags` instead of those that its sources ask for; "" for none.

    Line numbers in messages of the compiler stay those of the candidate. Raises ValueError, with a
    sentence, where no file of it can ask for flags, or the flags are not one line of plain
    characters.
    """
    if not _FLAGS.fullmatch(flags):
        raise ValueError(f"{flags[:80]!r} are no compiler flags: one line of plain characters")
    sources = [name for name in candidate.files if name.endswith(_SUFFIXES)]
    if not sources:
        raise ValueError(
            "no file of this candidate can ask for compiler flags: C, C++ and Rust sources can, by"
            " a line `// flags: …`"
        )
    line = f"// flags: {flags.strip()}".rstrip()
    fresh = [line]

    def replaced(match: re.Match[str]) -> str:
        return fresh.pop() if fresh else "//"

    files = {name: FLAGS_LINE.sub(replaced, text) for name, text in candidate.files.items()}
    if fresh and flags.strip():
        name = sources[0]
        text = files[name]
        before = name.endswith(PREPROCESSED)
        files[name] = f"{line}\n#line 1\n{text}" if before else f"{text}\n{line}\n"
    return Candidate(files=files)
