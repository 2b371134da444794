"""The run screen, driven by keys; every wait is for a condition."""

from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
from textual.widgets import Static

from avo_tui.domain import events as ev
from avo_tui.domain.commands import (
    AbortStep,
    Annotate,
    EditIntervention,
    Pause,
    Reject,
    Remeasure,
    Resume,
    Rewind,
    SendHint,
    SetBookmark,
    SetBudget,
    Stop,
    Submit,
)
from avo_tui.store import Drafts
from avo_tui.ui.dialogs import Confirm, HintDialog
from avo_tui.ui.screens.run.screen import RunScreen
from avo_tui.ui.services import Services
from tests.ui.make_session import MemorySource
from tests.ui.pilots import make_app, running


def run_screen(app: Any) -> RunScreen:
    return next(s for s in app.screen_stack if isinstance(s, RunScreen))


async def test_commands_are_sent(source: MemorySource) -> None:
    app = make_app(source)
    async with running(app) as hands:
        await hands.press("p")
        assert source.sent[-1] == Pause(mode="after_tool")
        await hands.press("P", "down", "down", "enter")
        await hands.until(lambda: source.sent[-1] == Pause(mode="now"))
        await hands.press("h")
        await hands.until(lambda: isinstance(app.screen, HintDialog))
        await hands.type("try tiles")
        await hands.press("tab", "right", "tab", "right", "right", "ctrl+s")
        await hands.until(lambda: isinstance(app.screen, RunScreen))
        assert source.sent[-1:] == [
            SendHint(text="try tiles", delivery="end_of_turn", scope="until_cleared")
        ]
        await hands.press("x", "tab", "ctrl+s")
        await hands.until(lambda: isinstance(source.sent[-1], AbortStep))
        await hands.press("B", "r")
        assert source.sent[-1:] == [Remeasure(version=3)]
        await hands.press("m")
        await hands.type("good")
        await hands.press("enter")
        await hands.until(lambda: source.sent[-1] == SetBookmark(version=3, label="good"))
        await hands.press("N")
        await hands.type("hm")
        await hands.press("ctrl+s")
        await hands.until(lambda: source.sent[-1] == Annotate(version=3, text="hm"))
        await hands.press("u", "w")
        await hands.type("worse")
        await hands.press("ctrl+s")
        await hands.until(lambda: source.sent[-1] == Rewind(version=2, reason="worse"))


async def test_a_bookmark_is_no_name_of_avos_own_and_a_note_is_gone_on_with(
    source: MemorySource,
) -> None:
    source.add(
        ev.VersionAnnotated(number=1, bookmark="best", note="worth", at=source.journal[-1].at)
    )
    app = make_app(source)
    async with running(app) as hands:
        row = next(row for row in hands.rows() if "v1 " in row)
        assert "⚑ once called" in row and "⚑ best" not in row
        await hands.press("colon")
        await hands.type("v1")
        await hands.press("enter", "m", "enter")
        told = str(app.screen.query_one("#problem", Static).content)
        assert "'best' is how avo names a version by itself; choose another name" in told
        await hands.press("escape", "N")
        await hands.type(" more")
        await hands.press("ctrl+s")
        assert source.sent == [Annotate(version=1, text="worth more")]


async def test_stop_asks_first(source: MemorySource) -> None:
    app = make_app(source)
    async with running(app) as hands:
        await hands.press("S")
        await hands.until(lambda: isinstance(app.screen, Confirm))
        await hands.press("enter")
        await hands.until(lambda: isinstance(app.screen, RunScreen))
        assert not source.sent, "enter is on the harmless button"
        await hands.press("S", "tab", "enter")
        await hands.until(lambda: source.sent == [Stop()])


async def test_pause_is_resume_when_paused() -> None:
    source = MemorySource(steps=3, state="paused")
    app = make_app(source)
    async with running(app) as hands:
        await hands.press("p")
        assert source.sent == [Resume()]


async def test_the_rewind_preview_says_what_becomes_a_branch(recorded: MemorySource) -> None:
    app = make_app(recorded)
    async with running(app) as hands:
        await hands.press("B", "u", "u", "w")
        await hands.until(lambda: bool(app.screen.query("#preview")))
        text = hands.text("#preview")
        assert "v18" in text and "2 versions become a branch" in text and "v19" in text
        await hands.press("escape")
        await hands.until(lambda: isinstance(app.screen, RunScreen))


async def test_the_budget_is_checked(source: MemorySource) -> None:
    app = make_app(source)
    async with running(app) as hands:
        await hands.press("b")
        await hands.until(lambda: bool(app.screen.query("#run-usd")))
        box: Any = app.screen.query_one("#run-usd")
        box.value = "many"
        await hands.press("ctrl+s")
        assert "not a number" in str(app.screen.query_one("#problem").render())
        box.value = "50"
        await hands.press("down", "down", "down", "tab")
        await hands.type("8")
        await hands.press("ctrl+s")
        await hands.until(lambda: bool(source.sent))
        command = source.sent[-1]
        assert isinstance(command, SetBudget)
        assert command.budget.run.usd == 50 and command.budget.step.evaluations == 8


async def test_escape_ends_a_filter_that_nothing_passes(recorded: MemorySource) -> None:
    app = make_app(recorded)
    async with running(app) as hands:
        await hands.press("slash")
        await hands.type("no row holds this")
        await hands.press("enter")
        assert "esc ends" in "".join(hands.rows())
        assert "nothing in the lineage holds" in hands.text("#lineage-view")
        await hands.press("escape")
        assert "★" in hands.text("#lineage-view") and "esc ends" not in "".join(hands.rows())


async def test_disabled_keys_say_why(recorded: MemorySource) -> None:
    app = make_app(recorded)
    async with running(app) as hands:
        await hands.press("A")
        assert "nothing waits for approval" in hands.said[-1]


async def test_approval_is_asked_for(source: MemorySource) -> None:
    app = make_app(source)
    async with running(app) as hands:
        decision = next(e for e in source.journal if isinstance(e, ev.GateDecided)).decision
        at = source.state.session.last_event_at
        source.waiting = [ev.ApprovalRequested(attempt=3, decision=decision, at=at)]
        screen = run_screen(app)
        await hands.until(
            lambda: screen.snapshot is not None and screen.snapshot.pending_approval is not None,
        )
        await hands.until(lambda: any("A approves" in said for said in hands.said))
        assert "WAITS FOR YOU · A approves" in hands.bar("#status")
        await hands.press("X")
        await hands.type("no")
        await hands.press("ctrl+s")
        await hands.until(lambda: source.sent == [Reject(reason="no")])


async def test_edit_submits_what_the_editor_changed(
    source: MemorySource, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    editor = tmp_path / "editor.sh"
    editor.write_text('#!/bin/sh\necho "// by hand" >> "$1"\n')
    editor.chmod(0o755)
    monkeypatch.setenv("EDITOR", str(editor))
    monkeypatch.delenv("VISUAL", raising=False)
    app = make_app(source)
    monkeypatch.setattr(app, "suspend", nullcontext)
    async with running(app) as hands:
        await hands.press("e")
        await hands.until(lambda: not isinstance(app.screen, RunScreen))
        await hands.type("mine")
        await hands.press("ctrl+s")
        await hands.until(lambda: bool(source.sent))
        command = source.sent[-1]
        assert isinstance(command, Submit) and command.plan == "mine" and command.parent == 3
        assert command.candidate.files["kernel.cpp"].endswith("// by hand\n")


async def test_an_edit_that_is_not_submitted_is_kept_and_gone_on_with(
    source: MemorySource, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    editor = tmp_path / "editor.sh"
    editor.write_text(
        '#!/bin/sh\necho "// by hand" >> "$1"\n[ -e "$0.fails" ] && exit 3 || exit 0\n'
    )
    editor.chmod(0o755)
    monkeypatch.setenv("EDITOR", str(editor))
    monkeypatch.delenv("VISUAL", raising=False)
    drafts = Drafts(tmp_path / "drafts")
    app = make_app(source, drafts=drafts)
    monkeypatch.setattr(app, "suspend", nullcontext)
    async with running(app) as hands:
        await hands.press("e", "escape")
        assert not source.sent and "your edit is kept: e on v3" in hands.said[-1]
        (tmp_path / "editor.sh.fails").touch()
        await hands.press("e")
        assert "ended with status 3" in hands.said[-1]
        kept = drafts.get(source.folder, 3)
        assert kept is not None and kept.files["kernel.cpp"].count("// by hand\n") == 2
        (tmp_path / "editor.sh.fails").unlink()
        await hands.press("e")
        await hands.press("ctrl+s")
        await hands.until(lambda: bool(source.sent))
        command = source.sent[-1]
        assert isinstance(command, Submit)
        assert command.candidate.files["kernel.cpp"].count("// by hand\n") == 3
        assert drafts.get(source.folder, 3) is None


async def test_prose_to_a_tuner_is_questioned_once_and_sent_when_asked_again() -> None:
    source = MemorySource(steps=3, operator="tuner")
    app = make_app(source)
    async with running(app) as hands:
        await hands.press("h")
        await hands.type("use fewer registers")
        await hands.press("ctrl+s")
        assert not source.sent
        assert "cannot act on prose" in str(app.screen.query_one("#problem").render())
        await hands.press("ctrl+s")
        await hands.until(lambda: bool(source.sent))
        await hands.press("h")
        await hands.type("TILE_K=64")
        await hands.press("ctrl+s")
        await hands.until(lambda: len(source.sent) == 2)


async def test_a_lost_engine_is_started_again() -> None:
    source = MemorySource(steps=3, state="lost")
    started: list[Path] = []
    app = make_app(source, services=Services(start_engine=started.append))
    async with running(app) as hands:
        assert "ENGINE LOST · R restarts" in hands.bar("#status")
        await hands.press("p")
        assert not source.sent
        await hands.press("R")
        await hands.until(lambda: started == [source.folder])


async def test_a_finished_run_can_be_annotated() -> None:
    source = MemorySource(steps=3, state="finished")
    taken: list[Path] = []
    app = make_app(source, services=Services(take_inbox=taken.append))
    async with running(app) as hands:
        await hands.press("p")
        assert not source.sent, "there is nothing to pause"
        await hands.press("m")
        await hands.type("fast")
        await hands.press("ctrl+s")
        await hands.until(lambda: taken == [source.folder])
        assert source.sent == [SetBookmark(version=3, label="fast")]


async def test_without_anybody_to_take_it_no_command_is_sent() -> None:
    source = MemorySource(steps=3, state="finished")
    app = make_app(source, services=Services())
    async with running(app) as hands:
        await hands.press("m")
        assert isinstance(app.screen, RunScreen) and not source.sent


async def test_leaving_says_that_the_run_goes_on(recorded: MemorySource) -> None:
    app = make_app(recorded)
    async with running(app, (80, 24)) as hands:
        await hands.press("q")
        await hands.until(lambda: bool(app.departure.farewell))
    assert (
        app.return_code == 0
        and "goes on" in app.departure.farewell
        and "avo attach mha-study" in app.departure.farewell
    )


async def test_keys_can_be_moved(source: MemorySource) -> None:
    app = make_app(source, keys={"pause": "f5"})
    async with running(app) as hands:
        await hands.press("p")
        assert not source.sent
        await hands.press("f5")
        assert source.sent == [Pause(mode="after_tool")]
        assert "f5 pause" in hands.bar("#actions")


async def test_an_app_whose_feed_stops_leaves_no_thread(recorded: MemorySource) -> None:
    import threading

    app = make_app(recorded)
    async with running(app, (80, 24)) as hands:
        assert any(t.name == "feed" for t in threading.enumerate())
        await hands.press("q")
    for thread in [t for t in threading.enumerate() if t.name == "feed"]:
        thread.join(5)
        assert not thread.is_alive()


async def test_a_notice_from_the_command_line_is_told_over_the_first_screen() -> None:
    said = "the engine could not be started [no markup]"
    app = make_app(MemorySource(steps=3, state="lost"), notice=said)
    async with running(app) as hands:
        assert [n.message for n in hands.app._notifications] == [said]


async def test_an_intervention_is_edited_and_dismissed_by_its_keys() -> None:
    source = MemorySource(steps=16)
    async with running(make_app(source)) as hands:
        await hands.press("i")
        await hands.press("e")
        for key in ("space", "n", "o", "w"):
            await hands.press(key)
        await hands.press("ctrl+s")
        assert hands.said == ["directions replaced"]
        await hands.press("x")
        edited, dismissed = source.sent[-2:]
        assert isinstance(edited, EditIntervention) and isinstance(dismissed, EditIntervention)
        assert edited.directions is not None
        assert edited.directions[-1].endswith(" now") and not edited.dismiss
        assert dismissed.dismiss and dismissed.intervention == edited.intervention


@pytest.mark.parametrize("size", [(60, 15), (80, 24)])
async def test_a_hint_can_be_written_on_a_very_low_screen(size: tuple[int, int]) -> None:
    app = make_app(MemorySource())
    async with running(app, size=size) as hands:
        await hands.press("h")
        for name in ("#text", "#delivery", "#scope", "#buttons"):
            region = app.screen.query_one(name).region
            assert region.height and app.screen.region.contains_region(region), name
