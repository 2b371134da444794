"""The rows of a step's conversation."""

from avo_tui.ui.screens.transcript import stream_rows
from avo_tui.ui.session.step_view import Entry
from avo_tui.ui.text import Line, line


def tool(key: str, name: str) -> Entry:
    return Entry(key=key, kind="tool", text=name, detail=f"what {name} gave")


STREAM = (tool("1", "read"), tool("2", "evaluate"), tool("3", "submit"))


def result(entry: Entry) -> list[Line]:
    return [line(f"  ┊ all that {entry.text} gave")]


def test_unfolded_results_stand_apart_from_each_other() -> None:
    rows = [row.plain.rstrip() for row in stream_rows(STREAM, None, result, 60)]
    assert rows == [
        "▾ read  what read gave",
        "  ┊ all that read gave",
        "",
        "▾ evaluate  what evaluate gave",
        "  ┊ all that evaluate gave",
        "",
        "▾ submit  what submit gave",
        "  ┊ all that submit gave",
        "",
    ]


def test_folded_tools_stay_together_and_one_that_is_unfolded_stands_apart() -> None:
    rows = [row.plain.rstrip() for row in stream_rows(STREAM, {"2"}, result, 60)]
    assert [row[:1] for row in rows] == ["▸", "", "▾", " ", "", "▸"]
    assert stream_rows(STREAM, set(), result, 60)[0].meta == "1"  # a click unfolds it
