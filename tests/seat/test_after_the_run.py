"""The tools that only read the record, of a run that has ended: no engine, nothing is written."""

from collections.abc import Sequence
from typing import Any

import pytest

from avo_tui.domain.commands import EditMemory
from avo_tui.domain.events import ToolReturned
from avo_tui.operators.knowledge_port import KnowledgeHit
from avo_tui.operators.seat.step import READING
from avo_tui.seat.after_the_run import is_over, read_record
from avo_tui.store import SessionReader
from tests.shipped import shipped_sessions


class NoDocuments:
    """A knowledge base without documents."""

    def search(self, query: str, limit: int = 8) -> Sequence[KnowledgeHit]:
        return ()

    def read(self, identifier: str, offset: int = 0, limit: int = 12_000) -> str:
        raise KeyError(identifier)

    def documents(self) -> Sequence[tuple[str, str]]:
        return (("notes", "Notes"),)


def refuse(command: EditMemory) -> None:
    """For the tools that write nothing, and a memory that takes no note."""
    raise ValueError("the memory is full")


@pytest.fixture(scope="module")
def reader() -> SessionReader:
    """The run whose steps agents in the seat made."""
    live = next(p for p in shipped_sessions() if p.name == "attention-cpu-live")
    return SessionReader.open(live)


ASKED: dict[str, tuple[dict[str, Any], str]] = {
    "list_versions": ({}, "v10"),
    "read_version": ({"version": 10}, "summary:"),
    "diff_versions": ({"old": 0, "new": 1}, "+"),
    "list_attempts": ({}, "aggregate"),
    "read_attempt": ({"step": 2, "number": 4}, "wrong_result"),
    "search_knowledge": ({"query": "fma"}, "Nothing found"),
    "list_knowledge": ({}, "[notes] Notes"),
    "recall": ({}, "]"),
}


async def test_every_tool_that_only_reads_answers(reader: SessionReader) -> None:
    assert is_over(reader)
    for tool, (arguments, words) in ASKED.items():
        answer = await read_record(reader, NoDocuments(), tool, arguments, refuse)
        assert answer.ok and answer.run_ended and words in answer.text, (tool, answer.text)
        assert answer.run_state == "stopped" and "decided by the person" in answer.letters[0].text
    refused = await read_record(reader, NoDocuments(), "read_knowledge", {"id": "no"}, refuse)
    assert not refused.ok and "There is no document" in refused.text
    note = {"category": "fact", "text": "a note of its own"}
    unwritten = await read_record(reader, NoDocuments(), "remember", note, refuse)
    assert not unwritten.ok and "the memory is full" in unwritten.text
    assert READING - set(ASKED) == {"read_knowledge", "read_result"}


async def test_results_of_the_last_step_are_read(reader: SessionReader) -> None:
    returned = [e for e in reader.events() if isinstance(e, ToolReturned)]
    call, result = [(e.call, e.ref) for e in returned if e.ref][-1]
    answer = await read_record(reader, NoDocuments(), "read_result", {"call": call}, refuse)
    assert result is not None
    assert answer.ok and answer.text[:200] == reader.text(result)[:200]
    odd = await read_record(reader, NoDocuments(), "read_result", {"call": "c9999"}, refuse)
    assert not odd.ok and "no result of a call" in odd.text


async def test_a_long_answer_is_whole_where_that_is_asked_for(reader: SessionReader) -> None:
    arguments = {"version": 10}
    cut = await read_record(reader, NoDocuments(), "read_version", arguments, refuse)
    whole = await read_record(reader, NoDocuments(), "read_version", arguments, refuse, whole=True)
    assert len(cut.text) < cut.characters == len(whole.text)
