"""Reading a line of the journal, by the kind that it names."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from avo_tui.domain import events as ev

UNION: TypeAdapter[ev.KnownEvent] = TypeAdapter(ev.KnownEvent)

KINDS = ("plan_set", "state_changed", "hint_closed", "nothing_known", "pause")
FIELDS = st.dictionaries(
    st.sampled_from(["title", "hint", "how", "text", "items", "at", "step", "undo"]),
    st.one_of(
        st.text(max_size=5),
        st.integers(-1, 3),
        st.just('{"kind":"plan_set"}'),
        st.fixed_dictionaries({"kind": st.sampled_from(KINDS)}),
    ),
    max_size=4,
)


def answer(line: bytes, read: Any) -> Any:
    try:
        return read(line)
    except ValueError:
        return ValueError


@given(before=FIELDS, kind=st.none() | st.sampled_from(KINDS), after=FIELDS, spaced=st.booleans())
def test_a_line_is_read_as_the_union_of_all_kinds_reads_it(
    before: dict[str, Any], kind: str | None, after: dict[str, Any], spaced: bool
) -> None:
    """Whatever else the line calls a kind before its own, and where it names none."""
    fields = {"seq": 1, "at": "2026-01-02T03:04:05Z", **before}
    fields |= {"kind": kind} if kind else {}
    fields |= {name: value for name, value in after.items() if name not in fields}
    line = json.dumps(fields, separators=(", ", ": ") if spaced else (",", ":")).encode()
    expected, read = answer(line, UNION.validate_json), answer(line, ev.parse_event)
    if isinstance(read, ev.Unrecognised):
        assert expected is ValueError and kind in {"nothing_known", "pause"}
    else:
        assert read == expected and type(read) is type(expected)


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"[]",
        b"null",
        b'{"seq":1}',
        b'{"seq":1,"kind":7}',
        b'{"seq":1,"arguments":{"kind":"engine_stopped"}}',
        b'{"seq":1,"text":"\\"kind\\":\\"engine_stopped\\""}',
        b'{"seq":"x","kind":"plan_set","title":"a"}',
    ],
)
def test_what_is_no_event_is_a_value_error(line: bytes) -> None:
    with pytest.raises(ValueError):
        ev.parse_event(line)
