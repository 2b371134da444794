"""Lines of a worker that may be any program: each is an answer, or refused in a phrase."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from avo_tui.domain.machine import MachineInfo
from avo_tui.evaluation.ports import EvaluatorError
from avo_tui.evaluation.workers.answers import Line, NoAnswerError, cleaned, read_line, told
from avo_tui.evaluation.workers.machine import Listing

JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)
ENTRIES = st.sampled_from(
    ["id", "ready", "log", "progress", "error", "kind", "result", "host", "beat"]
)


@settings(max_examples=30)
@given(st.binary() | JSON.map(lambda v: json.dumps(v).encode()))
def test_any_line_is_an_answer_or_refused(line: bytes) -> None:
    try:
        assert isinstance(read_line(line), Line)
    except NoAnswerError as error:
        assert "\n" not in str(error) and str(error).isprintable()


@settings(max_examples=30)
@given(st.dictionaries(ENTRIES, JSON))
def test_any_object_is_an_answer_or_refused(body: dict[str, Any]) -> None:
    try:
        answer = read_line(json.dumps(body).encode())
    except NoAnswerError:
        return
    assert answer.id is None or type(answer.id) is int


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (b"Welcome to Ubuntu 24.04 \x1b[31m", "no JSON"),
        (b"[" * 200_000, "no JSON"),
        (b'{"id": 1, "result": ' + b"9" * 10_000 + b"}", "no JSON"),
        (b'"hello"', "a str instead of an object"),
        (b'{"id": [1], "result": 2}', "whole number"),
        (b'{"id": true, "result": 2}', "whole number"),
        (b'{"id": 1, "progress": {"stage": 5}}', "progress"),
    ],
)
def test_a_line_that_is_no_answer_says_why(line: bytes, words: str) -> None:
    with pytest.raises(NoAnswerError, match=words) as caught:
        read_line(line)
    assert len(str(caught.value)) < 500 and str(caught.value).isprintable()


def test_words_are_bounded_and_safe() -> None:
    error = read_line(json.dumps({"id": 1, "error": "\x1b[2J" + "e" * 100_000}).encode()).error
    assert error is not None and "\x1b" not in error and len(error) <= 4000
    assert "\x07" not in read_line(b'{"id": null, "log": "\\u0007 ding"}').log


def test_a_nested_value_is_refused_without_an_overflow() -> None:
    nested: list[Any] = []
    for _ in range(100_000):
        nested = [nested]
    with pytest.raises(NoAnswerError, match="too deep"):
        cleaned(nested)


@pytest.mark.parametrize("answer", [None, True, [1], {}, {"device": 5, "conditions": "c"}])
def test_what_is_no_machine_is_one_sentence(answer: object) -> None:
    with pytest.raises(EvaluatorError, match="cannot be used: description of a machine"):
        told(MachineInfo, answer, "description of a machine")


@pytest.mark.parametrize(
    "text",
    [
        b"null", b"[1]", b"[" * 100_000, b"{}", b'{"gpus": true, "cores": []}',
        b'{"gpus": 1000000000, "cores": []}', b'{"gpus": 0, "cores": ["\\u001b[31m"]}',
        b'{"gpus": 0, "cores": [-1]}', b"Welcome",
    ],
)  # fmt: skip
def test_what_lists_no_devices_is_refused(text: bytes) -> None:
    with pytest.raises(ValueError):
        Listing.model_validate_json(text, strict=True)
