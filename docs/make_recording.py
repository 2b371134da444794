"""Record a session as an animated SVG: real frames of the real app that replays it.

    python docs/make_recording.py [SESSION_FOLDER [FILE]]

Plays the session from its start, stops at moments that are evenly spread over what is played, and
draws the screen of each; then looks at the best version, at the lineage and at a comparison, as a
person would with the keys. Rows that are equal are kept once. The picture needs no script and no
font of its own; where motion is not wanted it shows its last frame.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from xml.sax.saxutils import escape

from rich.cells import cell_len
from rich.color import Color
from rich.style import Style
from rich.terminal_theme import DEFAULT_TERMINAL_THEME
from textual.strip import Strip

from avo_tui.store import SessionReader
from avo_tui.ui.app import AvoApp
from avo_tui.ui.host import HostOptions
from avo_tui.ui.session.feed import ReplayStatus
from avo_tui.ui.session.replay import ReplaySource

HERE = Path(__file__).parent
SESSION = HERE.parent / "sessions" / "attention-cpu-agent"
FILE = HERE / "pictures" / "recording.svg"
SIZE = (120, 36)
FRAMES = 64
FRAME_SECONDS, LOOK_SECONDS = 0.4, 2.6
LOOKS: tuple[tuple[str, ...], ...] = (("B",), ("u",), ("L",), ("q", "c"), ("q", "l"))
"""Keys pressed at the end, each with a frame that stays longer."""
CELL, LINE, FONT = 8.4, 18.0, 14
MARGIN = 10

Row = tuple[tuple[int, int, str, str, str, str], ...]
"""Runs of a row: column, cells, text, foreground, background, attributes."""
Frame = tuple[tuple[Row, ...], float]
"""The rows of a screen, and how many seconds it stays."""


class Film(ReplaySource):
    """A replay that is moved on by hand, as fast as its pictures will follow one another."""

    def status(self) -> ReplayStatus:
        """Playing, at the speed at which it will be seen."""
        speed = self.times[-1] / FRAMES / FRAME_SECONDS
        return replace(super().status(), playing=True, speed=round(speed, 1))


def row_of(strip: Strip, background: str) -> Row:
    """A painted row as runs; background is left out where it is that of the picture."""
    out, column = [], 0
    for segment in strip:
        style = segment.style or Style.null()
        front, back = _colour(style.color, "#e6e6e6"), _colour(style.bgcolor, background)
        if style.reverse:
            front, back = back, front
        attributes = ("b" if style.bold else "") + ("u" if style.underline else "")
        cells = segment.cell_length
        if segment.text.strip() or back != background:
            back = "" if back == background else back
            out.append((column, cells, segment.text, front, back, attributes))
        column += cells
    return tuple(out)


def _colour(colour: Color | None, default: str) -> str:
    if colour is None or colour.is_default:
        return default
    return colour.get_truecolor(DEFAULT_TERMINAL_THEME).hex


async def record(folder: Path) -> tuple[list[Frame], str, str]:
    """The frames of a replay, the background of the picture, the session's name."""
    source = Film(SessionReader.open(folder))
    source.toggle()
    app = AvoApp(HostOptions(clock=lambda: _moment(source), low_bandwidth=False), source=source)
    frames: list[Frame] = []
    async with app.run_test(size=SIZE) as pilot:
        background = app.screen.styles.background.hex

        def take(seconds: float) -> None:
            rows = tuple(row_of(s, background) for s in app.screen._compositor.render_strips())
            if frames and frames[-1][0] == rows:
                frames[-1] = (rows, frames[-1][1] + seconds)
            else:
                frames.append((rows, seconds))

        for position in moments(source):
            source.seek(position)
            await settled(app, source, pilot.pause)
            app.clear_notifications()
            await pilot.pause()
            take(FRAME_SECONDS)
        for keys in LOOKS:
            await pilot.press(*keys)
            await settled(app, source, pilot.pause)
            take(LOOK_SECONDS)
    return frames, background, source.name


def moments(source: Film) -> list[int]:
    """Numbers of events, evenly spread over the time that is played."""
    last = source.times[-1]
    out, at = [], 0
    for i in range(1, FRAMES + 1):
        while at < len(source.times) - 1 and source.times[at + 1] <= last * i / FRAMES:
            at += 1
        out.append(at + 1)
    return sorted(set(out))


def _moment(source: Film) -> datetime:
    record = source.state.session
    return record.last_event_at or record.created


async def settled(app: AvoApp, source: Film, pause: Callable[[float], Awaitable[None]]) -> None:
    """Wait until the screen shows where the source stands, and nothing is being read."""
    deadline, calm = time.monotonic() + 60, 0
    while calm < 6:
        if time.monotonic() > deadline:
            raise SystemExit("the app did not come to rest")
        await pause(0.05)
        latest = app.latest
        busy = any(not worker.is_finished for worker in app.workers)
        shown = (
            latest is not None
            and latest.session.applied == source.state.session.applied
            and latest is app.ticker.shown
        )
        calm = calm + 1 if shown and not busy else 0


def svg_of(frames: list[Frame], background: str, title: str) -> str:
    """The animated picture."""
    width, height = SIZE[0] * CELL + 2 * MARGIN, SIZE[1] * LINE + 2 * MARGIN
    rows: dict[Row, str] = {}
    colours: dict[str, str] = {}
    film = []
    for number, (screen, _) in enumerate(frames):
        uses = [
            f'<use href="#{rows.setdefault(row, f"r{len(rows)}")}" y="{y * LINE:g}"/>'
            for y, row in enumerate(screen)
            if row
        ]
        film.append(f'<g transform="translate(0 {number * height:g})">{"".join(uses)}</g>')
    parts = [f'<g id="{name}">{"".join(_runs(row, colours))}</g>' for row, name in rows.items()]
    style = "".join(f".{name}{{fill:{colour}}}" for colour, name in colours.items())
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}">'
        f"<title>{escape(title)}</title>"
        f"<style>{_motion(frames, height)}text{{font:{FONT}px ui-monospace,Menlo,Consolas,"
        "'DejaVu Sans Mono',monospace;white-space:pre}.b{font-weight:bold}"
        f".u{{text-decoration:underline}}{style}</style>"
        f'<rect width="100%" height="100%" rx="8" fill="{background}"/>'
        f"<defs>{''.join(parts)}</defs>"
        f'<svg x="{MARGIN}" y="{MARGIN}" width="{SIZE[0] * CELL:g}" height="{SIZE[1] * LINE:g}">'
        f'<g class="film">{"".join(film)}</g></svg></svg>\n'
    )


def _motion(frames: list[Frame], height: float) -> str:
    total, at, keys = sum(seconds for _, seconds in frames), 0.0, []
    for number, (_, seconds) in enumerate(frames):
        keys.append(f"{at / total:.4%}{{transform:translateY({-number * height:g}px)}}")
        at += seconds
    last = f"translateY({-(len(frames) - 1) * height:g}px)"
    return (
        f"@keyframes film{{{''.join(keys)}100%{{transform:{last}}}}}"
        f".film{{animation:film {total:g}s step-end infinite}}"
        f"@media (prefers-reduced-motion){{.film{{animation:none;transform:{last}}}}}"
    )


def _runs(row: Row, colours: dict[str, str]) -> Iterator[str]:
    for column, cells, text, front, back, attributes in row:
        if back:
            name = colours.setdefault(back, f"c{len(colours)}")
            place = f'x="{column * CELL:g}" width="{cells * CELL:g}" height="{LINE:g}"'
            yield f'<rect class="{name}" {place}/>'
        plain = text.rstrip()
        if not plain.strip():
            continue
        lead = len(plain) - len(plain.lstrip())
        shown = plain[lead:]
        names = " ".join([colours.setdefault(front, f"c{len(colours)}"), *attributes])
        yield (
            f'<text class="{names}" x="{(column + lead) * CELL:g}" y="{FONT - 0.5}"'
            f' textLength="{cell_len(shown) * CELL:g}" lengthAdjust="spacingAndGlyphs">'
            f"{escape(shown)}</text>"
        )


def write(folder: Path, file: Path) -> None:
    """Record a session into a file."""
    frames, background, name = asyncio.run(record(folder))
    text = svg_of(frames, background, f"avo replay {name}")
    file.write_text(text, encoding="utf-8")
    seconds = sum(stays for _, stays in frames)
    print(f"{file}: {len(frames)} frames, {seconds:.0f} s, {len(text) / 1e3:.0f} kB")


def main() -> None:
    """Record and write."""
    if len(sys.argv) > 3:
        raise SystemExit(__doc__)
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else SESSION
    write(folder, Path(sys.argv[2]) if len(sys.argv) > 2 else FILE)


if __name__ == "__main__":
    main()
