"""What is told of a compilation that failed, from what the compilers write; nothing is compiled."""

import pytest

from avo_tui.domain.candidate import Candidate
from avo_tui.domain.verdict import Verdict
from avo_tui.evaluation.backends.base import Rejected
from avo_tui.evaluation.backends.cpp import compiler, glue
from avo_tui.evaluation.sandbox.policy import Outcome

TRACE = """memory allocation of 536870912 bytes failed
stack backtrace:
   3:     0x7f9257f8630f - std[e28293b1aa0f68bd]::alloc::default_alloc_error_hook
"""
LATER = """   3:     0x7f92 - rustc_error_hook
error[E0308]: mismatched types
"""


@pytest.mark.parametrize(
    ("log", "verdict", "words"),
    [
        (TRACE, Verdict.OUT_OF_MEMORY, "compiling used too much memory"),
        ("cc1: virtual memory exhausted", Verdict.OUT_OF_MEMORY, "compiling used too much memory"),
        (LATER, Verdict.COMPILE_ERROR, "does not compile: error[E0308]: mismatched types"),
        ("./k.c:1:2: error: expected ';'", Verdict.COMPILE_ERROR, "compile: ./k.c:1:2: error: exp"),
        ("gcc: internal compiler error: Segmentation fault", Verdict.COMPILE_ERROR, "internal"),
    ],
)
def test_the_line_that_says_what_is_wrong_is_told(log: str, verdict: Verdict, words: str) -> None:
    told = compiler._failure(Outcome("exited", 1, None, "", log, 0.1), log)
    assert told.verdict is verdict and words in told.feedback.summary


@pytest.mark.parametrize("name", ["exports.map", glue.PROTOTYPE, "candidate.so", "listing.txt"])
def test_a_file_in_the_place_of_one_of_the_harness_is_refused(name: str) -> None:
    candidate = Candidate(files={"kernel.rs": "", name: "{ global: *; };"})
    beside = {"exports.map": "", glue.PROTOTYPE: "", glue.HEADER: ""}
    with pytest.raises(Rejected, match=f"{name} is the name of a file that the harness writes"):
        compiler._refuse_names_of_ours(candidate, beside)


def test_a_task_h_of_its_own_is_allowed() -> None:
    candidate = Candidate(files={"kernel.c": "", "task.h": "#include <stdint.h>"})
    compiler._refuse_names_of_ours(candidate, {glue.HEADER: "", glue.PROTOTYPE: ""})
