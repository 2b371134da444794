"""How much may be on its way to a terminal, and when a picture is held back."""

import os
from pathlib import Path

import pytest

from avo_tui.ui import textual_internals
from avo_tui.ui.terminal.images import Images
from avo_tui.ui.terminal.send_window import (
    ANSWER_SECONDS,
    ASK_BYTES,
    FIRST_ANSWER_SECONDS,
    LEAVING_SECONDS,
    SendWindow,
)
from avo_tui.ui.terminal.writer import Writer
from tests.ui.make_session import write
from tests.ui.person import PROGRAM, Person
from tests.waiting import wait_for


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def sent(window: SendWindow, count: int) -> None:
    window.sent(count)
    window.asked()


def test_what_was_answered_is_no_longer_on_its_way() -> None:
    clock = Clock()
    window = SendWindow(clock)
    sent(window, 900)
    sent(window, 200)
    assert window.full(1000) and not window.full(1100)
    clock.now += 1.5
    assert window.answered() == 1.5 and not window.full(1000) and window.waits
    window.sent(ASK_BYTES)
    assert window.should_ask and window.answered() == 1.5 and not window.waits


def test_an_answer_that_nobody_asked_for_is_none() -> None:
    assert SendWindow().answered() is None


def test_a_terminal_that_never_answers_is_not_waited_for() -> None:
    clock = Clock()
    window = SendWindow(clock)
    sent(window, 9000)
    assert window.full(1000)
    clock.now += FIRST_ANSWER_SECONDS + 0.1
    assert not window.full(1000) and window.mute
    window.sent(9000)
    assert not window.should_ask and not window.full(1000)
    window.answered()  # it was only very slow
    assert window.should_ask


def test_a_line_that_stands_still_gets_a_picture_now_and_then() -> None:
    clock = Clock()
    window = SendWindow(clock)
    sent(window, 10)
    window.answered()
    for _ in range(3):
        sent(window, 9000)
        assert window.full(1000)
        clock.now += FIRST_ANSWER_SECONDS + 0.1
        assert window.full(1000)
        clock.now += ANSWER_SECONDS
        assert not window.full(1000) and not window.mute


@pytest.mark.parametrize("gone", [False, True])
def test_another_program_gets_the_terminal_when_all_is_answered(
    gone: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    terminal = textual_internals.Terminal.__new__(textual_internals.Terminal)
    terminal.window, terminal.writer = SendWindow(clock), Writer(-1)
    terminal.writer._gone = gone
    terminal.images = Images("cells", {})
    sent(terminal.window, 300)
    sent(terminal.window, 300)
    left: list[bool] = []

    def sleep(seconds: float) -> None:
        clock.now += 0.3
        terminal.window.answered()

    monkeypatch.setattr(textual_internals, "sleep", sleep)
    monkeypatch.setattr(textual_internals, "monotonic", clock)
    monkeypatch.setattr(
        "textual.drivers.linux_driver.LinuxDriver.disable_input",
        lambda self: left.append(terminal.window.waits),
    )
    terminal.disable_input()
    assert left == [gone]


def test_leaving_does_not_wait_long_for_a_terminal_that_does_not_answer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = Clock()
    terminal = textual_internals.Terminal.__new__(textual_internals.Terminal)
    terminal.window, terminal.writer = SendWindow(clock), Writer(-1)
    sent(terminal.window, 300)

    def sleep(seconds: float) -> None:
        clock.now += seconds

    monkeypatch.setattr(textual_internals, "sleep", sleep)
    monkeypatch.setattr(textual_internals, "monotonic", clock)
    monkeypatch.setattr("textual.drivers.linux_driver.LinuxDriver.disable_input", lambda self: None)
    begun = clock.now
    terminal.disable_input()
    assert clock.now - begun < LEAVING_SECONDS / 3


class Distant(Person):
    """Someone whose terminal answers when they say so."""

    open_questions = 0

    def read(self) -> bytes:
        data = super().read()
        self.open_questions += data.count(b"\x1b[6n")
        return data

    def answer(self) -> None:
        """Answer all that was asked."""
        os.write(self.fd, b"\x1b[1;1R" * self.open_questions)
        self.open_questions = 0


@pytest.mark.parametrize("answers", [True, False])
def test_over_a_distant_line_keys_have_effects_whether_the_terminal_answers_or_not(
    answers: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every picture is held until the one before was answered; what was held comes at last."""
    monkeypatch.setenv("SSH_CONNECTION", "192.0.2.1 1 192.0.2.2 22")
    monkeypatch.setenv("AVO_LOW_BANDWIDTH", "1")
    folder = tmp_path / "study"
    write(folder, steps=2)
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    person = Distant(str(program), str(folder))
    try:

        def shows(text: str) -> None:
            def there() -> bool:
                person.seen += person.read()
                if answers and person.open_questions:
                    person.answer()
                return text.encode() in person.seen

            wait_for(there, f"{text!r} never came")
            person.seen = b""

        shows("Lineage")
        for key, text in (("M", "Memory"), ("q", "Lineage")):
            os.write(person.fd, key.encode())
            shows(text)
    finally:
        person.close()
