"""Compiler flags that a source asks for, and a candidate with others in their place."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from avo_tui.domain.candidate import Candidate
from avo_tui.domain.compiler_flags import FLAGS_LINE, with_flags

LINES = st.sampled_from(
    ["// flags: -O2", "  //flags: -ffast-math -O1", "int x;", "", "// plain", "\t// flags:"]
)
TEXTS = st.lists(LINES, max_size=6).map("\n".join)
FLAGS = st.lists(st.sampled_from(["-O2", "-O3", "-fno-unroll-loops"]), max_size=3).map(" ".join)


def asked(candidate: Candidate) -> list[str]:
    """All flags that the candidate asks for, in order."""
    return [
        f for t in candidate.files.values() for line in FLAGS_LINE.findall(t) for f in line.split()
    ]


@given(TEXTS, TEXTS, FLAGS)
def test_the_flags_given_are_the_only_ones_and_code_stays(one: str, two: str, flags: str) -> None:
    origin = Candidate(files={"a.h": one, "k.cpp": two})
    changed = with_flags(origin, flags)
    assert asked(changed) == flags.split()

    def code(candidate: Candidate) -> list[str]:
        lines = [line for text in candidate.files.values() for line in text.split("\n")]
        return [
            line for line in lines if line.strip() and not line.lstrip().startswith(("//", "#"))
        ]

    assert code(changed) == code(origin)


@given(TEXTS, FLAGS)
def test_line_numbers_stay(text: str, flags: str) -> None:
    """Of the code behind a flags line that is replaced, or behind `#line 1`."""
    changed = with_flags(Candidate(files={"k.cpp": text + "\nint last;"}), flags).files["k.cpp"]
    before = (text + "\nint last;").split("\n")
    after = changed.split("\n")
    if "#line 1" in after:
        after = after[after.index("#line 1") + 1 :]
    assert len(after) == len(before) and after[-1] == "int last;"


def test_what_takes_no_flags_is_a_sentence() -> None:
    with pytest.raises(ValueError, match="C, C\\+\\+ and Rust"):
        with_flags(Candidate(files={"k.cu": "int x;", "launch.toml": ""}), "-O2")
    with pytest.raises(ValueError, match="no compiler flags"):
        with_flags(Candidate(files={"k.cpp": ""}), "-O2\n#include <x>")
