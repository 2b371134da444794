"""Whatever a process says that has seen a hidden case, its author is told the kind of end alone."""

import pytest

from avo_tui.evaluation.backends.cpp import failures
from avo_tui.evaluation.backends.cpp.process import Stopped
from avo_tui.evaluation.sandbox.policy import Outcome
from avo_tui.evaluation.tasks import find_tasks

ENDED = Outcome("exited", 77, None, stdout="77", stderr="rows 77", seconds=77.0)
STOPS = [
    ("unloadable", ["rows", "77"]),
    ("nonsense", ["it answered 'rows 77'"]),
    ("trap", ["77"]),
    ("loading", ["77"]),
    ("clock", ["77"]),
    ("fault", ["11", "0x77", "write", "0", "77", "78"]),
    ("fault", ["8", "0x77", "?", "-1", "77", "0"]),
    ("hung", ["77.0", "77.0"]),
    ("ended", ["77"]),
    ("a kind that is new", ["77"]),
]


@pytest.mark.parametrize(("kind", "words"), STOPS)
def test_no_word_of_the_candidate_reaches_its_author(kind: str, words: list[str]) -> None:
    stop = Stopped(kind, words)
    stop.outcome = ENDED
    task = find_tasks().get("attention_cpu")
    told = failures.rejected(
        task, stop, where="in a hidden configuration", configuration=None, silent=True,
        about="a short sequence",
    )  # fmt: skip
    assert "77" not in told.feedback.model_dump_json()
    assert "77" in told.private
