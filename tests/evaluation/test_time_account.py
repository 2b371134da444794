"""Who is charged for time that passes while an answer is waited for."""

import os
import time
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from avo_tui.evaluation.backends.cpp.process import MOST, WITHOUT_BOOKS, Books, TimeAccount

LIMIT, LOOK = 3.0, 0.05


def looks_until_over(books: Callable[[float], Books], state: str, most: float = 400) -> float:
    """Seconds after which a process is given up whose books are a function of time, or `most`."""
    patience = TimeAccount(LIMIT)
    passed = 0.0
    while passed < most and not patience.over:
        patience.look(books(passed), LOOK, state)
        passed += LOOK
    return passed


def thread(used: float, queued: float = 0.0, stolen: float = 0.0) -> Books:
    return Books({7: used}, {7: queued}, stolen)


def test_what_spins_ends_at_its_limit_on_a_quiet_machine() -> None:
    assert looks_until_over(lambda t: thread(t), "R") == pytest.approx(LIMIT, abs=3 * LOOK)


def test_what_sleeps_ends_at_its_limit() -> None:
    assert looks_until_over(lambda t: thread(0), "S") == pytest.approx(LIMIT, abs=3 * LOOK)


def test_one_thread_that_spins_beside_one_that_sleeps_ends_at_its_limit() -> None:
    def books(t: float) -> Books:
        return Books({7: t, 8: 0.01}, {7: 0.0, 8: 0.0})

    assert looks_until_over(books, "R") == pytest.approx(LIMIT, abs=3 * LOOK)


@given(share=st.floats(0.06, 1.0))
def test_waiting_for_a_processor_is_not_charged(share: float) -> None:
    """With a sixteenth of a processor, too, it may compute for as long as the limit says."""
    ended = looks_until_over(lambda t: thread(share * t, (1 - share) * t), "R")
    assert ended * share == pytest.approx(LIMIT, abs=3 * LOOK)


@pytest.mark.parametrize(
    ("books", "state"),
    [
        (lambda t: thread(0.01 * t, stolen=0.99 * t), "R"),
        (lambda t: thread(0.0), "T"),
        (lambda t: Books({7: 0.001 * t, 8: 0.0}, {7: 0.0, 8: 0.999 * t}), "R"),
    ],
    ids=["the host took it", "somebody stopped it", "its other thread waits for a processor"],
)
def test_what_the_machine_does_is_not_charged(books: Callable[[float], Books], state: str) -> None:
    ended = looks_until_over(books, state)
    assert ended == pytest.approx(MOST * LIMIT, abs=3 * LOOK)


def test_time_in_no_account_ends_after_twice_the_limit() -> None:
    ended = looks_until_over(lambda t: thread(0.0), "R")
    assert ended == pytest.approx(2 * LIMIT, abs=3 * LOOK)


def test_without_an_account_of_waiting_it_is_the_time_that_passes() -> None:
    ended = looks_until_over(lambda t: Books({7: 0.01 * t}), "R")
    assert ended == pytest.approx(WITHOUT_BOOKS * LIMIT, abs=3 * LOOK)


def test_a_thread_that_began_later_is_charged_for_itself_alone() -> None:
    patience = TimeAccount(LIMIT)
    patience.look(Books({7: 500.0}, {7: 0.0}), LOOK, "R")
    patience.look(Books({7: 500.1, 8: 0.2}, {7: 0.0, 8: 0.0}), LOOK, "R")
    assert patience.computed == pytest.approx(0.2)


def test_the_books_of_a_process_grow_as_it_computes() -> None:
    before = Books.read(os.getpid())
    end = time.thread_time() + 0.1
    while time.thread_time() < end:
        pass
    after = Books.read(os.getpid())
    assert max(after.used[n] - before.used[n] for n in before.used) > 0.05
    assert Books.read(0).used == {}
