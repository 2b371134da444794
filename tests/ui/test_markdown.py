"""Markdown on the screen: shapes kept, marks gone, hostile text inert."""

from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from avo_tui.ui.markdown import markdown_lines
from avo_tui.ui.syntax import Highlighter
from avo_tui.ui.text import Line

HIGHLIGHT = Highlighter()


def shown(text: str, width: int = 40) -> list[str]:
    return [row.plain.rstrip() for row in markdown_lines(text, width, HIGHLIGHT)]


def role_of(rows: list[Line], word: str) -> str:
    return next(role for row in rows for text, role in row.spans if word in text)


def test_headings_emphasis_links_and_code() -> None:
    rows = markdown_lines("# A *title*\n\ntext **loud** `x + y` [a link](http://x)", 60, HIGHLIGHT)
    assert [r.plain.rstrip() for r in rows] == ["A title", "", "text loud x + y a link"]
    assert role_of(rows, "A ") == role_of(rows, "title") == "title"
    assert role_of(rows, "loud") == "strong"
    assert role_of(rows, "x + y") == "sx-string"


def test_lists_hang_their_lines() -> None:
    assert shown("- one two three four\n- four\n  1. five\n", 16) == [
        " • one two three",
        "   four",
        " • four",
        "    1 five",
    ]


def test_a_table_is_aligned_and_fits() -> None:
    text = "| mark | meaning |\n|---|---|\n| **measured** | on one machine, one day |\n"
    assert [row for row in shown(text, 30) if row] == [
        " mark       meaning",
        " ────────────────────────────",
        " measured   on one machine,",
        "            one day",
    ]
    assert all(cell_len(row) <= 20 for row in shown(text, 20))


def test_code_keeps_its_shape() -> None:
    rows = markdown_lines("```cpp\nint  a;\n\n  return 1;\n```", 16, HIGHLIGHT)
    assert [r.plain for r in rows][:3] == ["  int  a;", "", "    return 1;"]
    assert role_of(rows, "return") == "sx-keyword"


def test_comments_are_hidden_and_those_of_sources_are_not() -> None:
    text = "one\n<!-- example: a -->\n```\n<!-- kept -->\n```\n\n<!-- two\n\nrows -->\n<b>bold</b>"
    assert "|".join(shown(text, 60)) == "one||  <!-- kept -->||<b>bold</b>"


def test_hostile_text_is_shown() -> None:
    text = "a \x1b[31mred\u202e\n\n<script>x</script>\n\n```\n\x1b]0;t\x07\n```\n"
    whole = "\n".join(shown(text, 60))
    assert "\x1b" not in whole and "\u202e" not in whole and "\x07" not in whole
    assert "<script>x</script>" in whole and "␛" in whole


@given(st.text("ab *_`#|-\n>1.[]()é宽\x1b", max_size=200), st.integers(16, 50))
def test_any_text_gives_lines_without_controls(text: str, width: int) -> None:
    for row in markdown_lines(text, width, HIGHLIGHT):
        assert "\x1b" not in row.plain and "\n" not in row.plain
