"""One search over everything that a session holds; each result opens its place."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from time import monotonic
from typing import Any, ClassVar, NamedTuple

from textual import on
from textual.app import ComposeResult

from avo_tui.domain import events as ev
from avo_tui.domain.attempts import attempt_name
from avo_tui.ui import formats, screens
from avo_tui.ui.actions import Action, Actions
from avo_tui.ui.loader import Failed
from avo_tui.ui.panes.base import teach
from avo_tui.ui.panes.graph import Key, key_of_version
from avo_tui.ui.screens.detail import DetailScreen, but
from avo_tui.ui.session.feed import Snapshot, Source
from avo_tui.ui.text import BLANK, Line, cut, fit, line, one_line
from avo_tui.ui.widgets.fields import FindBar
from avo_tui.ui.widgets.lists import CursorList, PickList
from avo_tui.ui.widgets.pane import Pane

MOST = 40
"""Results of a group that are listed; the others are counted."""
SECONDS = 6.0
"""A search of conversations, sources and logs ends after so long, the newest steps read first."""
NAME = 10
"""Cells of a result's name."""

Place = Key | int | str
"""A row of the lineage, a step to read, or the name of a screen."""


class Text(NamedTuple):
    """A text that is searched: of which group, what it is called, where it opens."""

    group: str
    name: str
    text: str
    place: Place


def recorded(snapshot: Snapshot) -> Iterator[Text]:
    """What is in memory: versions, attempts, hints, notes, interventions."""
    for number in reversed(list(snapshot.versions)):
        version = snapshot.versions[number]
        told = f"{version.title} · {version.plan} {version.summary} {version.gate.reason}"
        yield Text("versions", f"v{number}", told, key_of_version(number))
    for key in reversed(list(snapshot.attempts)):  # the newest are in memory, older ones packed
        one = snapshot.attempts[key]
        yield Text(
            "attempts",
            attempt_name(one),
            " · ".join(filter(None, (one.title, formats.minus(one.reason)))),
            ("a", one.step, one.number) if one.version is None else key_of_version(one.version),
        )
    for hint in snapshot.hints.values():
        given = re.search(r"step (\d+)", hint.where)
        step = int(given[1]) if given else snapshot.session.step
        yield Text("hints", hint.state, f"{hint.text} {hint.effect}", step)
    for note in snapshot.memory.values():
        yield Text("notes", note.category, note.text, "memory")
    for act in snapshot.supervision.values():
        told = " ".join((act.trigger, act.diagnosis, act.review, *(d.line for d in act.directions)))
        yield Text("supervisor", f"step {act.step}", told, "supervisor")


def said(events: Iterable[ev.Event], step: int) -> Iterator[Text]:
    """Plan and conversation of a step; what came in pieces is joined."""
    name, parts, block = f"step {step}", list[str](), ""
    for event in events:
        if isinstance(event, ev.AgentText):
            if event.block != block:
                yield Text("conversations", name, "".join(parts), step)
                parts, block = [], event.block
            parts.append(event.text)
        elif isinstance(event, ev.PlanSet):
            plan = " · ".join((event.title, *(item.text for item in event.items)))
            yield Text("plans", name, plan, step)
        elif isinstance(event, ev.ToolCalled):
            given = " ".join(map(str, event.arguments.values()))
            yield Text("conversations", name, f"{event.tool} {given}", step)
        elif isinstance(event, ev.ToolReturned):
            yield Text("conversations", name, f"{event.tool} {event.summary}", step)
        elif isinstance(event, ev.AttemptFinished):
            log = event.report.feedback.log or event.report.feedback.summary
            yield Text("logs", f"{step}.{event.attempt}", log, ("a", step, event.attempt))
        elif isinstance(event, ev.TroubleNoted):
            yield Text("troubles", name, event.message, step)
    yield Text("conversations", name, "".join(parts), step)


def stored(snapshot: Snapshot, source: Source) -> Iterator[Text]:
    """What is on disk: the sources of versions, then plans, conversations and logs by steps."""
    for number in reversed(list(snapshot.versions)):
        for name, text in source.candidate(snapshot.versions[number].candidate).files.items():
            for row, code in enumerate(text.splitlines(), 1):
                yield Text("sources", f"v{number}:{row}", f"{name}  {code}", f"v{number}")
    for step in range(snapshot.session.step, -1, -1):
        yield from said(source.events(step=step), step)


class Found(NamedTuple):
    """The results by groups, how many each has, and what of the search is missing."""

    groups: dict[str, list[Text]]
    counts: dict[str, int]
    rest: str = ""


def matching(
    texts: Iterable[Text],
    needle: str,
    seconds: float = SECONDS,
    wanted: Callable[[], bool] = lambda: True,
) -> Found:
    """Those that hold every word of `needle`, cut to where its first word stands; ends early where
    it is not `wanted` any more."""
    words, until = needle.casefold().split(), monotonic() + seconds
    out = Found({}, {})
    for text in texts:
        low = text.text.casefold()
        if words and all(word in low for word in words):
            kept = out.groups.setdefault(text.group, [])
            out.counts[text.group] = out.counts.get(text.group, 0) + 1
            if len(kept) < MOST:
                start = max(0, low.index(words[0]) - 40)
                told = ("…" if start else "") + one_line(text.text[start:])
                kept.append(text._replace(text=told))
        if monotonic() > until or not wanted():
            return out._replace(rest=f"not all was read in {seconds:.0f} s: up to {text.name}")
    return out


class SearchScreen(DetailScreen):
    act = Actions["SearchScreen"]("look")

    MAIN = "#found-view"
    FIND = "^f search everything"
    ABOUT = (
        "Every word must be there; case does not matter. Versions, attempts, hints, notes and the "
        "supervisor are searched as you type; enter also searches sources, plans, conversations "
        "and logs, the newest first. enter on a result opens its place."
    )
    PANES = {"found": ("Search", "What was found, by groups.")}  # noqa: RUF012
    VIEW = PickList

    def __init__(self) -> None:
        super().__init__()
        self.needle, self._whole = "", False
        self._asked = 0
        """How often something was asked for: an older question is not answered any more."""

    def body(self) -> ComposeResult:
        with Pane(key="", title="Search", id="found"):
            yield PickList(id="found-view")

    def on_mount(self) -> None:
        self.call_after_refresh(self.open_search)

    @act("ctrl+f,slash", "Search for something else.", footer=1, id="search")
    def open_search(self) -> None:
        self.query_one(FindBar).open(self.FIND)

    def find(self, text: str, done: bool) -> str:
        self.needle, self._whole = text.strip(), done
        self._asked += 1
        self.paint_again()
        return "" if done else "enter: sources, conversations, logs, too"

    def _results(self) -> list[Found | Failed | None]:
        snapshot, source, needle = self.snapshot, self.host.session.source, self.needle
        if snapshot is None or source is None or not needle:
            return []
        asked = self._asked
        kinds = [recorded(snapshot), *([stored(snapshot, source)] if self._whole else [])]
        return [
            self.loader.get(
                (asked, kind),
                lambda texts=texts: matching(texts, needle, wanted=lambda: asked == self._asked),  # type: ignore[misc]
            )
            for kind, texts in enumerate(kinds)
        ]

    def repaint(self) -> None:
        results = self._results()
        pane, view = self.query_one("#found", Pane), self.query_one(PickList)
        count = sum(sum(r.counts.values()) for r in results if isinstance(r, Found))
        told = f"“{one_line(self.needle, 40)}” {count:,}" if self.needle else ""
        pane.set_info([(told + (" · reading …" if None in results else ""), "dim")])

        def build(width: int) -> Sequence[Line]:
            out: list[Line] = []
            for result in results:
                if isinstance(result, Failed):
                    out += teach("Not everything can be read.", result.reason)
                elif result is not None:
                    for group, texts in result.groups.items():
                        total = result.counts[group]
                        more = f", {len(texts)} of them listed" if total > len(texts) else ""
                        out.append(line((group, "strong"), (f"  {total:,}{more}", "dim")))
                        out += [
                            line(
                                (f"  {fit(text.name, NAME)} ", "accent"),
                                cut(text.text, max(8, width - NAME - 3)),
                                meta=text,
                            )
                            for text in texts
                        ]
                        out.append(BLANK)
                    out += [line((result.rest, "warn"))] if result.rest else []
            if out or None in results:
                return out
            if self.needle:
                more = "" if self._whole else "enter searches sources, conversations and logs, too."
                return teach("Nothing was found.", more)
            return teach("Type what you look for.", "It searches all that this session holds.")

        view.show(build)

    @on(CursorList.Opened)
    def _opened(self) -> None:
        self.action_act("open")

    @act("enter", "Go to where it stands.", footer=2, id="open", label="open")
    def open_place(self) -> None:
        picked, host = self.query_one(PickList).key, self.host
        if not isinstance(picked, Text):
            return
        match picked.place:
            case int(step):
                host.push_screen(screens.TranscriptScreen(step))
            case "memory":
                host.push_screen(screens.MemoryScreen())
            case "supervisor":
                host.push_screen(screens.SupervisorScreen())
            case str(name):
                assert self.snapshot is not None
                number = int(name[1:])
                kernel = self.snapshot.versions[number].candidate
                host.push_screen(screens.KernelScreen(name, kernel, number))
            case row:
                self.dismiss(row)
                return
        opened = host.screen
        if isinstance(opened, DetailScreen):  # what was looked for is marked where it stands
            opened.call_after_refresh(opened.find, self.needle, True)

    ACTIONS: ClassVar[Sequence[Action[Any]]] = (*act, *but("filter", "next_hit"))
