"""Text of models and compilers is shown, never interpreted: on every screen."""

from avo_tui.domain import events as ev
from avo_tui.domain.records import Direction, Hint, Intervention, Note, PlanItem
from tests.ui.make_session import MemorySource
from tests.ui.pilots import make_app, running

EVIL = (
    "\x1b[2J\x1b]0;owned\x07\x9b31m[bold red]x[/] [@click=app.leave()]y[/] \u202egnp.exe \x00\x08\r"
)


def poisoned() -> MemorySource:
    source = MemorySource(steps=2, name="evil")
    at = source.state.session.last_event_at
    assert at is not None
    made = source.state.versions[1]
    for event in (
        ev.PlanSet(title=EVIL, items=(PlanItem(text=EVIL, status="doing"),), at=at),
        ev.AgentText(block="e", text=EVIL * 3, at=at),
        ev.AgentText(block="f", text=EVIL, thinking=True, at=at),
        ev.ToolCalled(call="e", tool=EVIL, arguments={EVIL: EVIL}, at=at),
        ev.ToolReturned(call="e", tool=EVIL, ok=False, summary=EVIL, at=at),
        ev.HintQueued(hint=Hint(id="e", text=EVIL, queued_at=at, where=EVIL), at=at),
        ev.NoteWritten(note=Note(id="e", text=EVIL, at=at), at=at),
        ev.TroubleNoted(where=EVIL, message=EVIL, at=at),
        ev.SupervisorIntervened(
            at=at,
            intervention=Intervention(
                id="e",
                at=at,
                step=3,
                level="nudge",
                trigger=EVIL,
                diagnosis=EVIL,
                directions=(Direction(text=EVIL),),
            ),
        ),
        ev.VersionAnnotated(number=1, bookmark=EVIL[:60], note=EVIL, at=at),
        ev.VersionCommitted(
            version=made.model_copy(
                update={"number": 4, "parent": 2, "plan": EVIL, "summary": EVIL}
            ),
            at=at,
        ),
    ):
        source.add(event)
    return source


ROUTES: tuple[tuple[str, ...], ...] = (
    (),
    ("B",),
    ("H",),
    ("L",),
    ("B", "u", "c"),
    ("t",),
    ("t", "space"),
    ("M",),
    ("i",),
    ("h",),
    ("w",),
    ("2", "z"),
)


async def test_no_control_character_reaches_any_screen() -> None:
    app = make_app(poisoned())
    async with running(app) as hands:
        for keys in ROUTES:
            await hands.home()
            await hands.press(*keys)
            rows = hands.rows()
            bad = [
                c
                for row in rows
                for c in row
                if ord(c) < 0x20 or 0x7F <= ord(c) < 0xA0 or c == "\u202e"
            ]
            assert not bad, f"after {keys}"
            assert len(rows) == 40
    assert app.return_code in {None, 0} and not app.departure.farewell


async def test_it_is_shown_as_it_is() -> None:
    app = make_app(poisoned())
    async with running(app) as hands:
        text = "\n".join(hands.rows())
        assert "␛[2J" in text and "[bold red]x[/]" in text
