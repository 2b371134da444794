"""Notices in the corner: one at a time, errors for as long as they last, none for nothing."""

from tests.ui.make_session import MemorySource
from tests.ui.pilots import SERVICES, make_app, running


async def test_notices_do_not_pile_up(recorded: MemorySource) -> None:
    app = make_app(recorded, services=SERVICES)
    async with running(app) as hands:

        def shown() -> list[str]:
            return [str(notice.message) for notice in app._notifications]

        await hands.press("escape", "escape", "escape")
        assert shown() == [], "escape with nothing to leave says nothing"
        for text in ("one", "two", "three"):
            app.notify(text)
            await hands.rest()
        await hands.until(lambda: shown() == ["three"], "only the newest")
        app.notify("it broke", severity="error")
        app.notify("four")
        app.notify("it broke", severity="error")
        await hands.rest()
        await hands.until(lambda: sorted(shown()) == ["it broke"], "an error is kept, and once")
        app.notify("five")
        await hands.rest()
        await hands.until(lambda: sorted(shown()) == ["five", "it broke"], "beside it the newest")
