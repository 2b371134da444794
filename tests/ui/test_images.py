"""The chart as an image: what is sent to the terminal, when, and that it shows the same data."""

import importlib.util
import os
import re
from base64 import b64decode
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image

from avo_tui.ui import plot
from avo_tui.ui.charts import LEFT, ChartData, Point, Roofline, Scale, render, roofline_rows
from avo_tui.ui.panes.score import INKS, Chart
from avo_tui.ui.terminal.images import ENCODERS, QUESTION, Drawing, Images, Wanted
from tests.ui.make_session import MemorySource, write
from tests.ui.person import Person
from tests.ui.pilots import Hands, make_app, running
from tests.waiting import wait_for

CELL = (8, 17)
TERMINAL = {"TERM": "xterm-256color"}
ANSWERS = {
    "kitty": "\x1b_Gi=31;OK\x1b\\\x1b[6;17;8t\x1b[?62;c",
    "sixel": "\x1b[6;17;8t\x1b[?2;0;1000;1000S\x1b[?63;1;2;4;6c",
    "iterm2": "\x1b[6;17;8t\x1b[?62;4c",
    "": "\x1b_Gi=31;EINVAL:no\x1b\\\x1b[?1;2c",
}
BEGINS = {"kitty": "\x1b_Ga=T", "sixel": "\x1bP0;1;0q", "iterm2": "\x1b]1337;File="}
REMOVED = "\x1b_Ga=d,d=I,"


def square(cell: tuple[int, int] = CELL) -> Image.Image:
    made = Image.new("RGB", (5 * cell[0], 3 * cell[1]), (18, 18, 18))
    made.paste((108, 182, 255), (3, 4, 20, 29))
    made.paste((255, 0, 51), (11, 20, 40, 51))
    return made


def drawing(x: int = 2, content: str = "chart", columns: int = 5) -> Drawing:
    return Drawing(x, 3, columns, 3, content, square)


def asked(protocol: str) -> Images:
    """Images of a terminal that has answered."""
    program = {"TERM_PROGRAM": "iTerm.app"} if protocol == "iterm2" else {}
    images = Images("auto", TERMINAL | program)
    assert images.ask() == QUESTION and images.waits
    assert images.take(f"a{ANSWERS[protocol]}b") == "ab" and not images.waits
    return images


def of_kitty(sent: str) -> Image.Image:
    chunks = re.findall(r"\x1b_G([^;]*);([^\x1b]*)\x1b\\", sent)
    assert all(len(data) <= 4096 for _, data in chunks)
    assert [keys.endswith("m=1") for keys, _ in chunks] == [True] * (len(chunks) - 1) + [False]
    return Image.open(BytesIO(b64decode("".join(data for _, data in chunks))))


def of_iterm2(sent: str) -> Image.Image:
    keys, data = re.findall(r"\x1b\]1337;File=([^:]*):([^\x07]*)\x07", sent)[0]
    assert f"size={len(b64decode(data))};" in keys
    return Image.open(BytesIO(b64decode(data)))


def of_sixel(sent: str) -> Image.Image:
    """Pixel by pixel, as the standard says."""
    body = sent[sent.index('"') : sent.rindex("\x1b\\")]
    _, _, width, height = map(int, body[1:].split("#")[0].split(";"))
    made = Image.new("RGB", (width, height), (1, 2, 3))
    table: dict[int, tuple[int, ...]] = {}
    x = y = number = 0
    parts = re.findall(r"#(\d+)(?:;2;(\d+);(\d+);(\d+))?|!(\d+)([?-~])|([?-~])|([$-])", body)
    for index, red, green, blue, count, repeated, single, move in parts:
        if index:
            number = int(index)
            if red:
                table[number] = tuple(round(int(v) * 2.55) for v in (red, green, blue))
        elif move:
            x, y = 0, y + 6 * (move == "-")
        for _ in range(int(count or 1) if repeated or single else 0):
            for bit in range(6):
                if ord(repeated or single) - 63 >> bit & 1:
                    made.putpixel((x, y + bit), table[number])
            x += 1
    return made


DECODERS = {"kitty": of_kitty, "iterm2": of_iterm2, "sixel": of_sixel}


@pytest.mark.parametrize("protocol", ["kitty", "iterm2", "sixel"])
@pytest.mark.parametrize("noisy", [False, True])
def test_what_is_sent_is_the_image(protocol: str, noisy: bool) -> None:
    image = square((13, 31))
    if noisy and protocol != "sixel":  # of more than one chunk
        image = Image.effect_noise((200, 200), 80).convert("RGB")
    decoded = DECODERS[protocol](ENCODERS[protocol](image, (5, 3))).convert("RGB")  # type: ignore[index]
    assert decoded.size == image.size
    pairs = zip(decoded.tobytes(), image.tobytes(), strict=True)
    assert max(abs(one - other) for one, other in pairs) <= (2 if protocol == "sixel" else 0)


@pytest.mark.parametrize("protocol", ["kitty", "iterm2", "sixel"])
def test_an_image_is_sent_once_and_removed(protocol: str) -> None:
    images = asked(protocol)
    assert images.protocol == protocol and images.cell == CELL
    layer = protocol == "kitty"
    begin = BEGINS[protocol]
    sent = images.show(drawing(), None, written=True)
    assert f"\x1b[4;3H{begin}" in sent and REMOVED not in sent
    assert images.show(drawing(), None, written=False) == "", "nothing has changed"
    assert bool(images.show(drawing(), None, written=True)) is not layer, "cells erase it or not"
    for changed in (drawing(x=4), drawing(x=4, content="other"), drawing(columns=4)):
        assert images.leaves(changed) is not layer, "the cells have to be written first"
        sent = images.show(changed, None, written=False)
        assert begin in sent and (REMOVED in sent) is layer
    assert begin in images.show(changed, (9, 18), written=False), "another size of the font"
    images.forget()
    assert begin in images.show(changed, (9, 18), written=False), "after a resize"
    images.forget()
    assert (REMOVED in images.show(None, None, written=True)) is layer, "a resize took its place"
    images.show(changed, None, written=False)
    assert images.leaves(None) is not layer
    assert (REMOVED in images.show(None, None, written=False)) is layer
    assert images.show(None, None, written=True) == images.remove() == ""
    assert begin in images.show(changed, None, written=False)
    assert (REMOVED in images.remove()) is layer, "the app is left"


def test_what_a_terminal_of_sixels_cannot_take_stays_in_cells() -> None:
    images = asked("sixel")
    assert images.show(drawing(columns=126), None, written=True) == ""
    assert images.show(drawing(columns=125), None, written=True)


@pytest.mark.parametrize(
    ("wanted", "environment", "protocol"),
    [
        ("auto", {}, "kitty"),
        ("sixel", {}, "sixel"),
        ("cells", {}, None),
        ("auto", {"TMUX": "/tmp/tmux-0/default,1,0"}, None),
        ("kitty", {"STY": "1.pts"}, None),
        ("auto", {"TERM": "screen-256color"}, None),
        ("auto", {"TERM": "linux"}, None),
        ("auto", {"TERM_PROGRAM": "Apple_Terminal"}, None),
    ],
)
def test_who_is_asked(wanted: Wanted, environment: dict[str, str], protocol: str | None) -> None:
    images = Images(wanted, TERMINAL | environment)
    assert bool(images.ask()) is (protocol is not None)
    typed = images.take(ANSWERS["kitty"])
    assert images.protocol == protocol and typed == ("" if protocol else ANSWERS["kitty"])


def test_without_pillow_nothing_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert Images("auto", TERMINAL).ask() == ""


@pytest.mark.parametrize("protocol", ANSWERS)
def test_answers_may_come_in_pieces_between_keys(protocol: str) -> None:
    program = {"LC_TERMINAL": "iTerm2"} if protocol == "iterm2" else {}
    whole = "j\x1b[A" + ANSWERS[protocol] + "\x1b[6;5~?"
    for cut in range(len(whole)):
        images = Images("auto", TERMINAL | program)
        images.ask()
        typed = images.take(whole[:cut]) + images.take(whole[cut:])
        if not whole[:cut].endswith(("\x1b", "\x1b_", "\x1b[")):  # these are keys, too
            assert typed == "j\x1b[A\x1b[6;5~?", cut
            assert (images.protocol or "") == protocol


INK = {role: (20 * index, 0, 0) for index, role in enumerate((*INKS, "ground"))}


@pytest.mark.parametrize("size", [(30, 8), (91, 23)])
@pytest.mark.parametrize("top", [0.4, 1.9, 61.0])
def test_the_image_shows_what_the_cells_show(size: tuple[int, int], top: float) -> None:
    """The middle of a cell that is full as text, or empty, is so in the image."""
    points = tuple(Point(n, top * (n + 2) / 9, n, leads=True) for n in range(8))
    data = ChartData(points=points, end=8.0)
    scale = Scale.of(data, *size)
    image = plot.chart(data, scale, CELL, INK)
    assert image.size == (scale.columns * CELL[0], scale.rows * CELL[1])
    steps = {scale.column(point.x) for point in points}
    star = scale.column(7)
    checked = {"on-area": 0, "": 0}
    for y, row in enumerate(render(data, *size)[:-1]):
        roles = [role for text, role in row.spans for _ in text][LEFT:]
        for x, role in enumerate(roles):
            if role in checked and x not in steps and not (y < 4 and abs(x - star) < 4):
                middle = image.getpixel((x * CELL[0] + 4, y * CELL[1] + 8))
                assert middle == INK["area" if role else "ground"], (x, y)
                checked[role] += 1
    assert min(checked.values()) > 10


def test_the_roofline_has_each_configuration_where_the_cells_have_it() -> None:
    points = (("one", 1.0, 9e9), ("two", 6.0, 40e9), ("three", 64.0, 81e9))
    data = Roofline(points, 100e9, 20e9)
    room = (60, 19)
    image = plot.roofline(data, room, CELL, INK)
    rows = roofline_rows(data, room[0] + LEFT + 1, room[1] + 2 + len(points))
    for y, row in enumerate(rows[: room[1]]):
        for x, letter in enumerate(row.plain[LEFT:]):
            if letter in "●▲■":
                cell = (x * CELL[0], y * CELL[1], (x + 1) * CELL[0], (y + 1) * CELL[1])
                colours = {colour for _, colour in image.crop(cell).getcolors() or []}
                assert INK["curve"] in colours, (letter, x, y)


@pytest.mark.parametrize("theme", ["avo-dark", "avo-light"])
async def test_where_the_image_is(source: MemorySource, theme: str) -> None:
    app = make_app(source, theme=theme)
    async with running(app, (120, 40)) as hands:
        view = app.screen.query_one("#score-view", Chart)
        there = app.drawing()
        assert there is not None
        assert (there.x, there.y) == (view.content_region.x + LEFT, view.content_region.y)
        assert there.columns == view.content_size.width - LEFT - 1
        image = there.draw(CELL)
        assert image.size == (there.columns * CELL[0], there.rows * CELL[1])
        inks = dict(there.content[1])  # type: ignore[index]
        assert image.getpixel((0, 0)) == tuple(inks["ground"])
        assert image.getpixel((image.width - 3, image.height - 3)) == tuple(inks["area"])
        await hands.press("question_mark")
        assert app.drawing() is None, "a dialog is over it"
        await hands.press("escape")
        assert app.drawing() == there
        await hands.press("L")
        assert app.drawing() is None, "the pane is not shown"
        await hands.press("L")
        app.theme = "ansi-dark"
        await hands.rest()
        assert app.drawing() is None, "the terminal's own colours are not known"
        app.theme = theme
        app.connection.toggle()
        assert not app.connection.takes_images


async def test_a_notice_over_the_chart_is_not_hidden(source: MemorySource) -> None:
    app = make_app(source)
    async with app.run_test(size=(120, 40), notifications=True) as pilot:
        hands = Hands(app, pilot)
        await hands.rest()
        await hands.press("5", "z")
        assert app.drawing() is not None
        app.notify("words", timeout=600)
        await hands.until(lambda: app.drawing() is None)


PROGRAM = """
import sys
from pathlib import Path
from avo_tui.ui.app import AvoApp, run_app
from avo_tui.ui.host import HostOptions
sys.exit(run_app(AvoApp(HostOptions(pictures="auto"), folder=Path(sys.argv[1]))))
"""


@pytest.fixture
def person(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Person]:
    for name in ("TMUX", "STY", "SSH_CONNECTION", "SSH_TTY", "LC_TERMINAL", "TERM_PROGRAM"):
        monkeypatch.delenv(name, raising=False)
    write(tmp_path / "study", steps=3)
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    made = Person(str(program), str(tmp_path / "study"))
    yield made
    made.close()


@pytest.mark.parametrize("protocol", ["kitty", "sixel"])
def test_in_a_terminal_that_answers(person: Person, protocol: str) -> None:
    def answer(text: str) -> None:
        person.seen = b""
        os.write(person.fd, text.encode())

    person.read_until(QUESTION)
    answer(ANSWERS[protocol] + "5")  # a terminal of 80 columns shows one pane
    begin = BEGINS[protocol]
    person.read_until(begin)
    answer("?")
    person.read_until("Help")
    answer("\x1b")
    person.read_until(begin)
    answer("q")

    def left() -> bool:
        person.seen += person.read()
        return person.over()

    wait_for(left, "the app did not end")
    assert person.status == 0
    assert (REMOVED.encode() in person.seen) is (protocol == "kitty")
