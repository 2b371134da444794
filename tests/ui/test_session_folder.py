"""The app on real session folders: the list, opening, the digest, what is damaged."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from avo_tui.domain import events as ev
from avo_tui.domain.base import now
from avo_tui.store import SeenMarks, SessionReader, SessionWriter
from avo_tui.ui.app import AvoApp
from avo_tui.ui.dialogs import TextViewer
from avo_tui.ui.host import HostOptions
from avo_tui.ui.screens.run.screen import RunScreen
from avo_tui.ui.screens.sessions import SessionsScreen
from avo_tui.ui.services import NewSession
from avo_tui.ui.widgets.fields import Field
from avo_tui.ui.widgets.lists import CursorList, PickList
from tests.ui.make_session import write
from tests.ui.pilots import SERVICES, running


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("sessions")
    write(root / "first", steps=3)
    broken = root / "broken"
    write(broken, steps=1)
    for file in broken.glob("session.json*"):
        file.write_text("{")
    for file in (broken / "journal").iterdir():
        file.write_text("no json\n")
    return root


def rows(app: AvoApp) -> str:
    return "\n".join(r.plain for r in app.screen.query_one(CursorList).lines)


async def test_sessions_are_listed_and_opened(made: Path, tmp_path: Path) -> None:
    app = AvoApp(HostOptions(roots=[made], marks=SeenMarks(tmp_path / "seen.json")))
    async with running(app, (120, 30)) as hands:
        await hands.until(lambda: "first" in rows(app))
        text = rows(app)
        assert "attention_cpu" in text and "engine lost" in text and "✕" in text
        await hands.press("home")
        await hands.until(lambda: "┤" in hands.text("#preview-view"), "no chart of the session")
        await hands.resize(80, 24)
        assert not app.screen.query_one("#preview").display, "the table needs the rows"
        await hands.press("enter")
        await hands.until(lambda: isinstance(app.screen, RunScreen))
        await hands.until(lambda: "ENGINE LOST" in hands.bar("#status"))
        await hands.press("q")
        await hands.until(lambda: isinstance(app.screen, SessionsScreen))
    assert SeenMarks(tmp_path / "seen.json").get(made / "first") > 0


async def test_damage_is_said_when_a_session_is_opened(tmp_path: Path) -> None:
    write(tmp_path / "hurt", steps=1)
    for file in (tmp_path / "hurt").glob("session.json*"):
        file.write_text("{")
    app = AvoApp(HostOptions(roots=[tmp_path], marks=SeenMarks(tmp_path / "seen.json")))
    async with running(app, (120, 30)) as hands:
        await hands.until(lambda: "hurt" in rows(app))
        await hands.press("home", "enter")
        await hands.until(lambda: isinstance(app.screen, RunScreen))
        told = [notice.message for notice in app._notifications]
        assert any("hurt is damaged" in one and "avo doctor hurt --repair" in one for one in told)


async def test_the_status_line_says_where_sessions_and_tasks_come_from(tmp_path: Path) -> None:
    text = "new sessions: ./sessions · tasks: ./kernels, shipped"
    app = AvoApp(HostOptions(roots=[tmp_path], places_text=text))
    async with running(app, (80, 24)) as hands:
        await hands.until(lambda: text in hands.bar("#status"))


async def test_an_empty_list_teaches(tmp_path: Path) -> None:
    app = AvoApp(HostOptions(roots=[tmp_path]))
    async with running(app, (80, 24)) as hands:
        await hands.until(lambda: "There is no session yet" in rows(app))


async def test_who_has_no_session_is_offered_the_demo_and_the_first_pages(
    made: Path, tmp_path: Path
) -> None:
    demo = tmp_path / "demo"

    def start_demo() -> Path:
        write(demo, steps=1)
        return demo

    services = replace(
        SERVICES,
        start_demo=start_demo,
        page=lambda name: f"# The page {name}",
        is_own=lambda folder: folder == demo,
    )
    app = AvoApp(HostOptions(services=services, roots=[made, tmp_path]))
    async with running(app, (80, 24)) as hands:
        await hands.until(lambda: "Your repository" in rows(app) and "first" in rows(app))
        await hands.press("down", "enter")
        await hands.until(lambda: "The page first-kernel" in hands.text("#page-view"))
        await hands.press("q")
        await hands.until(lambda: isinstance(app.screen, SessionsScreen))
        await hands.press("home", "enter")
        await hands.until(lambda: isinstance(app.screen, RunScreen))
        await hands.press("q")
        await hands.until(lambda: isinstance(app.screen, SessionsScreen))
        await hands.until(lambda: "Your repository" not in rows(app))


async def test_the_filter_counts(made: Path) -> None:
    app = AvoApp(HostOptions(roots=[made]))
    async with running(app, (100, 30)) as hands:
        await hands.until(lambda: "first" in rows(app))
        await hands.press("slash", *"zzz")
        await hands.until(lambda: "no session holds" in rows(app))
        await hands.press("escape")
        await hands.until(lambda: "first" in rows(app))


async def test_what_happened_while_away_is_told(tmp_path: Path) -> None:
    folder = tmp_path / "away"
    write(folder, steps=3)
    marks = SeenMarks(tmp_path / "seen.json")
    marks.set(folder, 10)
    later = now() + timedelta(hours=2)  # what is only minutes ago is not told without being asked
    app = AvoApp(HostOptions(marks=marks, clock=lambda: later), folder=folder)
    async with running(app, (100, 30)) as hands:
        await hands.until(lambda: isinstance(app.screen, TextViewer))
        await hands.rest()
        text = hands.text("#rows")
        assert "new versions" in text and "spent" in text
        await hands.press("5")
        box = app.screen.query_one("#box")
        await hands.until(lambda: "since the start" in str(box.border_title))
        await hands.press("2")
        await hands.until(lambda: "nothing happened" in hands.text("#rows"))
        await hands.press("enter")
        await hands.until(lambda: isinstance(app.screen, RunScreen))


async def test_a_session_that_cannot_be_read_is_one_sentence(made: Path) -> None:
    app = AvoApp(folder=made / "broken")
    async with running(app, (80, 24)) as hands:
        await hands.until(lambda: app._exit)
    assert app.return_code == 1 and app.departure.farewell and "\n" not in app.departure.farewell


async def test_commands_arrive_in_the_inbox_and_events_on_the_screen(tmp_path: Path) -> None:
    folder = tmp_path / "live"
    write(folder, steps=2)
    writer = SessionWriter.open(folder)
    app = AvoApp(folder=folder)
    async with running(app, (120, 40)) as hands:
        await hands.until(lambda: isinstance(app.screen, RunScreen))
        await hands.until(lambda: "RUNNING" in hands.bar("#status"))
        await hands.press("p")
        await hands.until(lambda: len(writer.pending_commands()) == 1)
        writer.record(ev.StateChanged(state="paused", reason="asked for"))
        await hands.until(lambda: "PAUSED · p resumes" in hands.bar("#status"))
    writer.close()
    assert SessionReader.open(folder).state.session.state == "paused"


async def test_a_session_is_created_in_the_form_and_opened(tmp_path: Path) -> None:
    forms: list[NewSession] = []

    def create(form: NewSession) -> Path:
        forms.append(form)
        if len(forms) == 1:
            raise RuntimeError("there is a session of that name already")
        write(tmp_path / form.name, steps=1)
        return tmp_path / form.name

    app = AvoApp(HostOptions(services=replace(SERVICES, create_session=create), roots=[tmp_path]))
    async with running(app, (120, 40)) as hands:
        await hands.until(lambda: "There is no session yet" in rows(app))
        await hands.press("n")
        await hands.until(lambda: bool(app.screen.query("#name")))
        await hands.until(lambda: app.screen.query_one("#task", PickList).key == "attention_cpu")
        app.screen.query_one("#hours", Field).value = "2"
        app.screen.query_one("#name", Field).value = "mine"
        await hands.press("ctrl+s")
        await hands.until(lambda: "already" in str(app.screen.query_one("#problem").render()))
        await hands.press("ctrl+s")
        await hands.until(lambda: isinstance(app.screen, RunScreen))
    assert forms[1].name == "mine" and forms[1].budget.run.hours == 2
    assert forms[1].operator == "tuner"


async def test_a_session_whose_folder_is_deleted_says_so_and_goes_on_when_it_is_back(
    tmp_path: Path,
) -> None:
    folder, away = tmp_path / "kept" / "run", tmp_path / "away"
    write(folder, steps=2)
    app = AvoApp(HostOptions(marks=SeenMarks(tmp_path / "seen.json")), folder=folder)
    async with running(app, (120, 30)) as hands:
        await hands.until(lambda: "ENGINE LOST" in hands.bar("#status"))
        folder.rename(away)
        await hands.until(lambda: "CANNOT BE READ" in hands.bar("#status"))
        await hands.until(lambda: any("is gone" in n.message for n in app._notifications))
        away.rename(folder)
        await hands.until(lambda: "ENGINE LOST" in hands.bar("#status"))
