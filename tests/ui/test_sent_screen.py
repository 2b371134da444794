"""Only changed cells are sent, and the terminal shows the same as if all had been."""

import re

from hypothesis import given, settings
from hypothesis import strategies as st
from rich.ansi import AnsiDecoder
from rich.cells import cell_len
from rich.console import Console
from rich.segment import Segment
from rich.style import Style
from textual.strip import Strip

from avo_tui.ui.terminal.sent_screen import Piece, SentScreen

WIDTH, HEIGHT = 12, 3
PLAIN = Console(color_system=None)
RED = Style(color="red")


class Grid:
    """A terminal: overwriting half of a wide character erases the other half."""

    def __init__(self) -> None:
        self.rows = [["?"] * WIDTH for _ in range(HEIGHT)]

    def write(self, text: str) -> None:
        """Take moves of the cursor, erasures and characters."""
        x = y = 0
        for token in re.findall(r"\x1b\[[\d;]+[HCJX]|\r\n|.", text):
            if token == "\r\n":
                x, y = 0, y + 1
                continue
            if token == "\x1b[2J":
                self.rows = [[" "] * WIDTH for _ in range(HEIGHT)]
                continue
            if token[0] == "\x1b" and token[-1] == "H":
                y, x = (int(number) - 1 for number in token[2:-1].split(";"))
                continue
            count = int(token[2:-1]) if token[0] == "\x1b" else 0
            if token[-1] == "C" and count:
                x += count
                continue
            if count:
                self.write(f"\x1b[{y + 1};{x + 1}H" + " " * count)
                continue
            row, width = self.rows[y], cell_len(token)
            for column in range(x, x + width):
                if row[column] == "":
                    row[column - 1] = " "
                if column + 1 < WIDTH and row[column + 1] == "":
                    row[column + 1] = " "
            row[x : x + width] = [token] + [""] * (width - 1)
            x += width


def pieces(picture: list[tuple[int, int, str]]) -> list[Piece]:
    """Texts as parts of a picture, cut at the right edge."""
    return [(x, y, Strip([Segment(text)]).crop(0, WIDTH - x)) for x, y, text in picture]


def texts(length: int) -> st.SearchStrategy[str]:
    return st.text("ab 漢字─", min_size=1, max_size=length)


PART = st.tuples(st.integers(0, WIDTH - 1), st.integers(0, HEIGHT - 1), texts(WIDTH))


def whole(rows: list[str]) -> list[Piece]:
    """A picture of the whole screen."""
    return [
        (0, y, Strip([Segment(row)]).crop(0, WIDTH).adjust_cell_length(WIDTH))
        for y, row in enumerate(rows)
    ]


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.one_of(
            st.lists(texts(WIDTH), min_size=HEIGHT, max_size=HEIGHT).map(whole),
            st.lists(PART, min_size=1, max_size=3).map(pieces),
        ),
        max_size=5,
    ),
    st.lists(texts(WIDTH), min_size=HEIGHT, max_size=HEIGHT).map(whole),
)
def test_a_whole_picture_arrives_whatever_was_sent_before(
    before: list[list[Piece]], last: list[Piece]
) -> None:
    sent, terminal, expected = SentScreen(), Grid(), Grid()
    sent.begin()
    for picture in before:
        terminal.write(sent.changes(picture, PLAIN))
    terminal.write(sent.changes(last, PLAIN))
    for x, y, strip in last:
        expected.write(f"\x1b[{y + 1};{x + 1}H{strip.text}")
    assert terminal.rows == expected.rows
    assert sent.changes(last, PLAIN) == ""


def test_only_what_changed_is_sent_and_neighbours_together() -> None:
    sent = SentScreen()
    sent.changes([(0, 0, Strip([Segment("best 1.00 now 12:00")]))], PLAIN)
    changed = sent.changes([(0, 0, Strip([Segment("best 1.07 now 12:01")]))], PLAIN)
    assert changed == "\x1b[1;9H7\x1b[9C1"
    near = sent.changes([(0, 0, Strip([Segment("Best 2.07 now 12:01")]))], PLAIN)
    assert near == "\x1b[1;1HBest 2"


def test_a_colour_is_a_change() -> None:
    sent = SentScreen()
    sent.changes([(0, 0, Strip([Segment("lost", None)]))], PLAIN)
    console = Console(color_system="standard")
    assert "lost" in sent.changes([(0, 0, Strip([Segment("lost", RED)]))], console)


def shown(text: str) -> list[tuple[str, str | None, str | None, bool]]:
    """Each cell of a row that a terminal is sent: its text, colours, and whether it is reversed."""
    blanks = re.sub(r"\x1b\[(\d+)X(\x1b\[\1C)?", lambda found: " " * int(found[1]), text)
    spans = AnsiDecoder().decode_line(re.sub(r"\x1b\[\d+;\d+H", "", blanks))
    out = []
    for segment in spans.render(PLAIN):
        style = segment.style or Style()
        fore, back = (
            c.name if c and not c.is_default else None for c in (style.color, style.bgcolor)
        )
        for one in segment.text:
            plain = one == " " and not style.reverse
            out.append((one, None if plain else fore, back, bool(style.reverse)))
    return [cell for cell in out if cell[0] != "\n"]


STYLES = st.sampled_from(
    [
        Style.parse(s)
        for s in ("", "red", "bold red on blue", "reverse", "dim", "on blue", "red reverse")
    ]
)


@given(st.lists(st.tuples(st.sampled_from(["a", "bc", " ", " " * 12]), STYLES), min_size=1))
def test_each_cell_gets_its_colours(parts: list[tuple[str, Style]]) -> None:
    strip = Strip([Segment(text, style) for text, style in parts])
    console = Console(color_system="standard", force_terminal=True)
    assert shown(SentScreen().changes([(0, 0, strip)], console)) == shown(strip.render(console))


def test_blanks_are_erased() -> None:
    blank = Strip([Segment(" " * 40, Style(bgcolor="blue"))])
    console = Console(color_system="standard", force_terminal=True)
    sent = SentScreen().changes([(0, 0, blank)], console)
    assert sent == "\x1b[1;1H\x1b[44m\x1b[40X\x1b[0m"
    without = SentScreen(fills=False).changes([(0, 0, blank)], console)
    assert " " * 40 in without


def test_the_first_picture_erases_what_stood_there_and_skips_its_blanks() -> None:
    sent, console = SentScreen(), Console(color_system="standard", force_terminal=True)
    blue = Style(bgcolor="blue")
    rows = [(0, y, Strip([Segment(f"a{' ' * 38}b", blue)])) for y in (0, 1)]
    sent.begin()
    assert sent.changes(rows, console) == (
        "\x1b[44m\x1b[2J\x1b[1;1Ha\x1b[38Cb\r\na\x1b[38Cb\x1b[0m"
    )


def test_joined_characters_are_sent_whole() -> None:
    sent = SentScreen()
    sent.changes([(0, 0, Strip([Segment("e\u0301 ok ")]))], PLAIN)
    assert "e\u0301 no" in sent.changes([(0, 0, Strip([Segment("e\u0301 no ")]))], PLAIN)


def test_after_a_resize_all_is_sent() -> None:
    sent = SentScreen()
    row = [(0, 0, Strip([Segment("same")]))]
    sent.changes(row, PLAIN)
    sent.forget()
    assert sent.changes(row, PLAIN) == "\x1b[1;1Hsame"
