"""One search over everything: what it finds, that it ends in time, and where a result leads."""

from avo_tui.ui.screens.kernel import KernelScreen
from avo_tui.ui.screens.run.screen import RunScreen
from avo_tui.ui.screens.search import MOST, SearchScreen, Text, matching, recorded, stored
from avo_tui.ui.screens.transcript import TranscriptScreen
from avo_tui.ui.session.feed import Feed
from tests.ui.make_session import MemorySource
from tests.ui.pilots import SERVICES, make_app, running


def test_every_kind_of_text_is_searched_and_every_word_must_be_there() -> None:
    source = MemorySource()
    feed = Feed(source)
    feed.prime()
    known = feed.latest
    assert known is not None
    groups = {text.group for text in (*recorded(known), *stored(known, source))}
    assert groups >= {"versions", "attempts", "hints", "notes", "supervisor"}
    assert groups >= {"sources", "plans", "conversations", "logs"}
    texts = [Text("logs", f"{i}", f"register SPILL {i % 2}", i) for i in range(100)]
    found = matching(texts, "spill 1")
    assert found.counts == {"logs": 50} and len(found.groups["logs"]) == MOST
    assert not matching(texts, "  ").counts and not matching(texts, "spills").counts


def test_a_search_that_takes_too_long_says_how_far_it_came() -> None:
    endless = (Text("logs", "7.1", "x", 7) for _ in iter(int, 1))
    found = matching(endless, "x", seconds=0.0)
    assert found.counts["logs"] == 1 and "7.1" in found.rest


async def test_a_result_opens_its_place(recorded: MemorySource) -> None:
    app = make_app(recorded, services=SERVICES)
    async with running(app, (80, 24)) as hands:
        for what, group, opened in (
            ("tile", "attempts", RunScreen),
            ("include", "sources", KernelScreen),
            ("the", "conversations", TranscriptScreen),
        ):
            await hands.press("ctrl+f")
            screen = app.screen
            assert isinstance(screen, SearchScreen)
            await hands.type(what if group != "attempts" else "tile")
            assert hands.rows()[-1].startswith(f" ^f search everything {what}")
            await hands.press("enter")
            texts = [k for k in screen.query_one("#found-view")._keys if isinstance(k, Text)]  # type: ignore[attr-defined]
            at = next((i for i, text in enumerate(texts) if text.group == group), None)
            assert at is not None, (group, hands.text("#found-view"))
            await hands.press(*["down"] * at, "enter")
            assert isinstance(app.screen, opened), (group, app.screen)
            if isinstance(app.screen, RunScreen):
                assert app.screen.run.cursor is not None
            await hands.press("escape", "escape", "escape", "escape")
            assert isinstance(app.screen, RunScreen)
