"""The rules of a campaign: the ring, the intervals, the shares of one budget."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from avo_tui.domain.budget import Caps, Spend
from avo_tui.domain.campaigns import (
    Standing,
    first_shares,
    half_of_rest,
    intervals_passed,
    new_shares,
    next_on_ring,
)


@given(st.sets(st.integers(1, 64), min_size=2))
def test_the_ring_visits_every_line_once(numbers: set[int]) -> None:
    start = current = min(numbers)
    visited = []
    for _ in numbers:
        visited.append(current)
        following = next_on_ring(current, list(numbers))
        assert following is not None
        current = following
    assert current == start and sorted(visited) == sorted(numbers)


def test_a_line_alone_has_no_neighbour() -> None:
    assert next_on_ring(3, [3]) is None and next_on_ring(3, []) is None
    assert next_on_ring(3, [1, 2]) == 1, "one that is over is not on the ring, but may send"


@pytest.mark.parametrize(("made", "every", "passed"), [(0, 5, 0), (4, 5, 0), (11, 5, 2), (9, 0, 0)])
def test_intervals(made: int, every: int, passed: int) -> None:
    assert intervals_passed(made, every) == passed


def total(shares: list[Caps], unit: str) -> float:
    return float(sum(getattr(share, unit) for share in shares))


@given(st.integers(0, 10_000), st.floats(0, 1e4), st.integers(1, 64))
def test_the_first_shares_add_up_to_the_budget(evaluations: int, usd: float, lines: int) -> None:
    shares = first_shares(Caps(evaluations=evaluations, usd=usd, hours=2), lines)
    assert total(shares, "evaluations") == evaluations
    assert total(shares, "usd") == pytest.approx(usd)
    assert {share.hours for share in shares} == {2} and {share.tokens for share in shares} == {None}


class Played:
    """Lines that spend, end and come back while the shares are made anew."""

    def __init__(self, cap: int, lines: int) -> None:
        self.cap = cap
        shares = first_shares(Caps(evaluations=cap), lines)
        self.lines = {
            n: Standing(number=n, state="running", caps=share) for n, share in enumerate(shares, 1)
        }

    def spend(self, number: int, evaluations: int) -> None:
        line = self.lines[number]
        cap = line.caps.evaluations or 0
        used = line.spend.evaluations
        if not line.over:
            made = min(used + evaluations, max(cap, used))
            self.lines[number] = line.replaced(spend=Spend(evaluations=made))

    def settle(self) -> None:
        for _ in range(5):
            changes = new_shares(Caps(evaluations=self.cap), list(self.lines.values()))
            for number, caps in changes.items():
                self.lines[number] = self.lines[number].replaced(caps=caps)
            assert self.shared <= max(self.cap, self.spent)
        assert not changes, "the shares come to rest"

    @property
    def shared(self) -> int:
        return sum(line.caps.evaluations or 0 for line in self.lines.values())

    @property
    def spent(self) -> int:
        return sum(line.spend.evaluations for line in self.lines.values())


moves = st.lists(
    st.tuples(st.sampled_from(["spend", "end", "back", "budget"]), st.integers(1, 5),
              st.integers(0, 60)), max_size=30,
)  # fmt: skip


@given(moves, st.integers(0, 200), st.integers(1, 5))
def test_the_shares_never_exceed_the_budget_and_leave_nothing_unused(
    played: list[tuple[str, int, int]], cap: int, lines: int
) -> None:
    game = Played(cap, lines)
    for move, number, amount in played:
        number = min(number, lines)
        if move == "spend":
            game.spend(number, amount)
        elif move == "budget":
            game.cap = max(amount * 3, game.spent)
        else:
            state = "stopped" if move == "end" else "running"
            game.lines[number] = game.lines[number].replaced(state=state)
        game.settle()
        if any(not line.over for line in game.lines.values()):
            assert game.shared == max(game.cap, game.spent)


def test_what_an_ended_line_left_goes_to_the_others() -> None:
    game = Played(90, 3)
    game.spend(1, 10)
    game.lines[1] = game.lines[1].replaced(state="stopped")
    game.settle()
    assert [line.caps.evaluations for line in game.lines.values()] == [10, 40, 40]


def test_without_a_line_that_runs_a_larger_budget_waits_for_one_or_revives_all() -> None:
    lines = [
        Standing(number=n, state="finished", spend=Spend(evaluations=10), caps=Caps(evaluations=10))
        for n in (1, 2)
    ]
    assert not new_shares(Caps(evaluations=30), lines)
    revived = new_shares(Caps(evaluations=30), lines, revive=True)
    assert [caps.evaluations for caps in revived.values()] == [15, 15]


def test_no_cap_any_more_and_a_first_cap() -> None:
    lines = [Standing(number=n, state="running", spend=Spend(usd=1.0)) for n in (1, 2)]
    first = new_shares(Caps(usd=10), lines)
    assert [caps.usd for caps in first.values()] == [5.0, 5.0]
    capped = [line.replaced(caps=first[line.number]) for line in lines]
    assert [caps.usd for caps in new_shares(Caps(), capped).values()] == [None, None]


@given(st.integers(0, 99), st.integers(0, 99), st.floats(0, 50), st.floats(0, 50))
def test_a_line_is_split_without_making_budget(
    cap: int, used: int, usd: float, paid: float
) -> None:
    line = Standing(
        number=1, state="running", caps=Caps(evaluations=cap, usd=usd, hours=1),
        spend=Spend(evaluations=used, usd=paid),
    )  # fmt: skip
    kept, given_away = half_of_rest(line)
    assert kept.evaluations is not None and given_away.evaluations is not None
    assert kept.evaluations + given_away.evaluations == cap
    assert kept.evaluations >= min(cap, used)
    assert (kept.usd or 0) + (given_away.usd or 0) == pytest.approx(usd)
    assert kept.hours == given_away.hours == 1
