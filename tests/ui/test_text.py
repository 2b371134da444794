from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from avo_tui.ui.text import (
    between,
    clean,
    clean_lines,
    crop,
    cut,
    fit,
    line,
    one_line,
    prose,
    width_of,
    wrap,
)

HOSTILE = "\x1b]0;owned\x07\x1b[2J\x1b[31mred\x9b2K[bold]x[/bold]\u202eabc\u200b\x00\r\x08"


def unsafe(text: str) -> list[str]:
    """Characters that a terminal could act on, or that cannot be seen or encoded."""
    return [
        c
        for c in text
        if ord(c) < 0x20
        or 0x7F <= ord(c) < 0xA0
        or c in "\u202e\u200b\u2066\ufeff"
        or 0xD800 <= ord(c) < 0xE000
    ]


def test_control_characters_become_symbols() -> None:
    shown = clean(HOSTILE)
    assert not unsafe(shown)
    assert shown.startswith("␛]0;owned␇␛[2J␛[31mred‹9b›2K[bold]x[/bold]‹202e›abc")


@given(st.text(alphabet=st.characters(codec=None)))
def test_nothing_unsafe_survives(text: str) -> None:
    for made in (clean(text), one_line(text), *clean_lines(text), *wrap(text, 20)):
        assert not unsafe(made)
        made.encode()


def test_plain_text_is_left_alone() -> None:
    assert clean("tile K by 32 – größer ≥ 1.0×") == "tile K by 32 – größer ≥ 1.0×"


def test_stacked_marks_are_cut() -> None:
    assert len(clean("e" + "\u0301" * 200)) <= 4


@given(st.text(min_size=0, max_size=60), st.integers(1, 40))
def test_fit_is_exact(text: str, width: int) -> None:
    assert cell_len(fit(clean(text), width)) == width
    assert cell_len(cut(clean(text), width)) <= width


@given(st.text(max_size=400), st.integers(8, 60))
def test_wrapped_rows_fit_and_lose_no_word(text: str, width: int) -> None:
    rows = wrap(text, width)
    assert all(cell_len(row) <= width for row in rows)
    kept = "".join("".join(rows).split())
    assert kept == "".join("".join(clean(p.rstrip("\r")) for p in text.split("\n")).split())


def test_crop_and_between() -> None:
    spans = (("abcdef", "a"), ("ghij", "b"))
    assert "".join(t for t, _ in crop(spans, 8)) == "abcdefg…"
    assert width_of(between(spans, (("xy", ""),), 20)) == 20
    assert "xy" not in "".join(t for t, _ in between(spans, (("xy", ""),), 11))


def test_prose_keeps_its_gutter_out_of_copies() -> None:
    rows = prose("one two three four five", 12, "", ("» ", "hint"))
    assert len(rows) > 1
    assert all(row.gutter == 2 for row in rows)
    assert " ".join(row.plain[row.gutter :].strip() for row in rows) == "one two three four five"


def test_line_drops_empty_spans() -> None:
    assert line("", ("", "good"), "a").spans == (("a", ""),)
