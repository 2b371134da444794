"""What is told of the cases of a check: of a hidden one, only whether it passed."""

import dataclasses

from avo_tui.domain.report import EvaluationProgress, error_ratios
from avo_tui.domain.task import Configuration
from avo_tui.evaluation.measurement.cases import CheckCase, CheckRecord, public_first

PUBLIC = CheckCase(Configuration(name="small"), "peaked")
HIDDEN = CheckCase(Configuration(name="rows-1337"), "outliers", hidden=True, category="odd rows")


def test_hidden_cases_come_behind_all_others() -> None:
    other = dataclasses.replace(PUBLIC, distribution="normal")
    assert public_first([HIDDEN, PUBLIC, HIDDEN, other]) == (PUBLIC, other, HIDDEN, HIDDEN)


def test_neither_error_nor_words_nor_moment_of_a_hidden_case_is_told() -> None:
    told: list[EvaluationProgress] = []
    record = CheckRecord(3, told.append)
    record.add(PUBLIC, True, 0.25, error_ratio=1.5)
    assert [(p.configuration, p.index, p.error) for p in told] == [("small", 1, 0.25)]
    record.add(HIDDEN, True, 0.1337, error_ratio=2.1337)
    assert error_ratios(record.results) == {"peaked": 1.5}
    record.add(HIDDEN, False, 13.37, "1337 elements differ")
    assert len(told) == 1
    record.tell()
    record.tell()
    assert [(p.configuration, p.index, p.ok) for p in told[1:]] == [
        ("hidden", 2, False),
    ]
    words = "".join(x.model_dump_json() for x in (*told, *record.results))
    assert "1337" not in words and "13.37" not in words and "outliers" not in words


def test_an_error_that_is_not_finite_is_no_number() -> None:
    record = CheckRecord(1, lambda _: None)
    record.add(PUBLIC, False, float("inf"), "two runs differ")
    assert record.results[0].error is None and record.results[0].detail == "two runs differ"
