"""Draw all pictures of the documentation, and the key card.

    python docs/make_pictures.py [NAME ...]

Opens the app without a terminal on the sessions that ship, presses keys, and writes SVG files to
docs/pictures/. The moments of a run that no recorded session can show (it runs, is stuck, waits for
a person) are drawn from an invented session, whose status line says so. The chart of a lineage
needs matplotlib (`avo-tui[report]`). Writes docs/keys.md from the registry of actions. With names,
only those pictures. Look at them before committing. operators-at-equal-budget.svg comes from its
benchmark, first-kernel-*.svg from make_first_kernel_pictures.py.
"""

from __future__ import annotations

import asyncio
import re
import sys
import tempfile
from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from avo_tui.domain import events as ev
from avo_tui.domain.device import DeviceState
from avo_tui.store import DeviceLog
from avo_tui.ui.actions import key_name
from avo_tui.ui.app import AvoApp
from avo_tui.ui.host import HostOptions
from avo_tui.ui.screens.run.screen import RunScreen
from avo_tui.ui.services import Services
from docs import make_lineage_chart, make_recording
from tests.ui.make_session import MemorySource

PICTURES = Path(__file__).parent / "pictures"
SESSIONS = Path(__file__).parents[1] / "sessions"

LINEAGE, AGENT = "mha-hopper", "attention-cpu-agent"
SHOTS: tuple[tuple[str, str, tuple[int, int], str, Sequence[str]], ...] = (
    ("run-120x40", LINEAGE, (120, 40), "avo-dark", ("B",)),
    ("run-200x50", LINEAGE, (200, 50), "avo-dark", ("B",)),
    ("run-80x24", LINEAGE, (80, 24), "avo-dark", ("B",)),
    ("run-light", LINEAGE, (120, 40), "avo-light", ("B",)),
    ("lineage", LINEAGE, (120, 40), "avo-dark", ("L",)),
    ("compare", LINEAGE, (120, 40), "avo-dark", ("B", "c")),
    ("transcript", AGENT, (120, 40), "avo-dark", ("t",)),
    ("hint", AGENT, (120, 40), "avo-dark", ("h",)),
    ("rewind", LINEAGE, (120, 40), "avo-dark", ("B", "down", "down", "w")),
    ("help", AGENT, (120, 40), "avo-dark", ("question_mark",)),
)
"""Name, session, size, theme and keys."""
Moment = Callable[[Path], MemorySource]
STUCK_STEPS = 12
"""Steps without a version that the invented session goes on for until it is stuck."""
_WEB_FONT = re.compile(r"@font-face\s*{.*?}\s*", re.DOTALL)


def improves(folder: Path) -> MemorySource:
    """A run that found a better version a moment ago."""
    return _running(MemorySource(name="invented", steps=21, rewinds=False), folder)


def is_stuck(folder: Path) -> MemorySource:
    """A run without a better version for many attempts."""
    return _running(MemorySource(name="invented", steps=4, stalled=STUCK_STEPS), folder)


def waits(folder: Path) -> MemorySource:
    """A run whose next version a person must approve."""
    source = MemorySource(name="invented", steps=21)
    decision = next(e for e in source.journal if isinstance(e, ev.GateDecided)).decision
    at = source.state.session.last_event_at
    source.add(ev.ApprovalRequested(attempt=3, decision=decision, at=at))
    return _running(source, folder)


def _running(source: MemorySource, folder: Path) -> MemorySource:
    """Give a session a device that is held back."""
    source.folder = folder
    at = source.state.session.last_event_at
    assert at is not None
    with_load = DeviceState(
        name="cpu (invented)", index=0, at=at, utilisation=0.97, clock_mhz=2900, clock_max_mhz=3800,
        power_watts=92, temperature_celsius=81, throttle=("heat",),
    )  # fmt: skip
    log = DeviceLog(folder)
    log.add([with_load])
    log.close()
    return source


MOMENTS: tuple[tuple[str, Moment, tuple[int, int], str], ...] = (
    ("now-improves-80x24", improves, (80, 24), "avo-dark"),
    ("now-improves-120x40", improves, (120, 40), "avo-dark"),
    ("now-stuck-80x24", is_stuck, (80, 24), "avo-dark"),
    ("now-stuck-120x40", is_stuck, (120, 40), "avo-light"),
    ("now-waits-80x24", waits, (80, 24), "avo-light"),
    ("now-waits-120x40", waits, (120, 40), "avo-dark"),
)
"""Name, moment, size and theme of what a person sees who looks for five seconds."""


async def shot(app: AvoApp, size: tuple[int, int], keys: Sequence[str]) -> str:
    """The screen after the keys, as SVG, without fonts from the network."""
    async with app.run_test(size=size) as pilot:
        await pilot.pause(1.5)
        for key in keys:
            await pilot.press(key)
            await pilot.pause(0.5)
        await pilot.pause(1.0)
        svg = app.export_screenshot(title="avo")
    return without_web_fonts(svg)


def without_web_fonts(svg: str) -> str:
    """The same picture with the reader's own monospace font."""
    return _WEB_FONT.sub("", svg).replace("Fira Code", "monospace")


def of_session(folder: Path, theme: str) -> AvoApp:
    """The app on a session; dialogs open, as where a short engine can take what they send."""
    services = Services(take_inbox=lambda folder: None)
    return AvoApp(HostOptions(theme=theme, services=services), folder=folder)


def of_moment(moment: Moment, folder: Path, theme: str) -> AvoApp:
    """The app on an invented session, three seconds after its last event."""
    source = moment(folder)
    last = source.state.session.last_event_at
    assert last is not None
    now = last + timedelta(seconds=3)
    return AvoApp(HostOptions(theme=theme, clock=lambda: now), source=source)


def key_card() -> str:
    """Every action of the run screen with its key, by group, as Markdown."""
    groups: dict[str, list[str]] = {}
    for action in RunScreen.ACTIONS:
        key = f"`{key_name(action.key)}`" if action.key else ""
        groups.setdefault(action.group, []).append(f"| {key} | {action.help} | `{action.id}` |")
    lines = [
        "# Keys",
        "",
        "The run screen's actions. `?` shows those of the pane you are in, `^p` finds any of them",
        "by name. Move one to another key by its name in the table `[keys]` of the",
        "[settings](settings.md).",
    ]
    for group, rows in groups.items():
        lines += [
            "",
            f"## {group.capitalize()}",
            "",
            "| key | does | name |",
            "|---|---|---|",
            *rows,
        ]
    return "\n".join(lines) + "\n"


def draw_screens(wanted: set[str]) -> None:
    """The pictures of the app; all of them where no name is wanted."""

    def write(name: str, svg: str) -> None:
        (PICTURES / f"{name}.svg").write_text(svg, encoding="utf-8")
        print(f"docs/pictures/{name}.svg", flush=True)

    for name, session, size, theme, keys in SHOTS:
        if not wanted or name in wanted:
            write(name, asyncio.run(shot(of_session(SESSIONS / session, theme), size, keys)))
    for name, moment, size, theme in MOMENTS:
        if not wanted or name in wanted:
            with tempfile.TemporaryDirectory() as folder:
                app = of_moment(moment, Path(folder), theme)
                write(name, asyncio.run(shot(app, size, ())))


def main() -> None:
    """Draw the pictures that are named, or all."""
    wanted = set(sys.argv[1:])
    (PICTURES.parent / "keys.md").write_text(key_card(), encoding="utf-8")
    PICTURES.mkdir(exist_ok=True)
    draw_screens(wanted)
    if not wanted or "lineage-on-hopper" in wanted:
        make_lineage_chart.draw(SESSIONS / LINEAGE, PICTURES / "lineage-on-hopper.svg")
    if not wanted or "recording" in wanted:
        make_recording.write(make_recording.SESSION, make_recording.FILE)


if __name__ == "__main__":
    main()
