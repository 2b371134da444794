"""Caps as a person types them: they are said as numbers, and what could mean two is refused."""

import pytest

from avo_tui.domain.budget import Budget, Caps
from avo_tui.domain.commands import SetBudget
from avo_tui.ui.dialogs import BudgetDialog, budget_text
from avo_tui.ui.dialogs.frame import amount
from tests.ui.make_session import MemorySource
from tests.ui.pilots import make_app, running


@pytest.mark.parametrize(
    ("text", "value"),
    [("", None), ("  ", None), ("0", 0.0), ("1.5", 1.5), ("$15", 15.0), (" 7. ", 7.0), (".5", 0.5)],
)
def test_an_amount_is_a_number_from_zero_on(text: str, value: float | None) -> None:
    assert amount(text) == value


@pytest.mark.parametrize(
    "text",
    ["1,5", "1,500", "1,500.0", "٣", "1e3", "inf", "nan", "-1", "1_000", "0x10", "1 000", "$", "."],
)
def test_what_could_be_read_in_two_ways_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"without a comma|not a number"):
        amount(text)


def test_half_an_evaluation_is_refused() -> None:
    assert amount("40", whole=True) == 40
    with pytest.raises(ValueError, match="not a whole number"):
        amount("1.5", whole=True)


def test_caps_in_words() -> None:
    caps = Budget(run=Caps(usd=1.5, evaluations=400), step=Caps(hours=2))
    assert budget_text(caps) == "$1.5 and 400 evaluations for the run, 2 hours for each step"
    assert budget_text(Budget()) == "no cap for the run, no cap for each step"


async def test_a_comma_is_asked_about_and_the_notice_says_what_was_set(
    source: MemorySource,
) -> None:
    app = make_app(source)
    async with running(app) as hands:
        await hands.press("b")
        dialog = app.screen
        assert isinstance(dialog, BudgetDialog)
        for box in dialog.query("Input"):
            box.value = ""  # type: ignore[attr-defined]
        await hands.type("1,5")
        await hands.press("ctrl+s")
        assert app.screen is dialog and not source.sent
        assert "without a comma" in "".join(hands.rows())
        await hands.press("backspace", "backspace")
        await hands.type(".5")
        await hands.press("ctrl+s")
        await hands.until(lambda: bool(source.sent))
        assert source.sent[-1] == SetBudget(budget=Budget(run=Caps(usd=1.5)))
        assert hands.said[-1] == "caps: $1.5 for the run, no cap for each step"
