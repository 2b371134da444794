"""What a machine does to an honest candidate, and must not be held against it."""

import contextlib
import fcntl
import logging
import os
import signal
import struct
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from avo_tui.domain.candidate import Candidate
from avo_tui.evaluation.backends.cpp import glue, process
from avo_tui.evaluation.backends.cpp.process import Runner
from avo_tui.evaluation.pipeline import Pipeline
from tests.evaluation.asking import evaluated
from tests.evaluation.evaluation_support import CANDIDATES, TASKS, needs_compiler

pytestmark = [needs_compiler, pytest.mark.asyncio(loop_scope="module")]
_STILL_WAITING = 0x40082102
"""SECCOMP_IOCTL_NOTIF_ID_VALID: fails once a report was withdrawn."""


def candidate(name: str) -> Candidate:
    helpers = {p.name: p.read_text() for p in CANDIDATES.glob("*.h")}
    return Candidate(files={f"{name}.cpp": (CANDIDATES / f"{name}.cpp").read_text(), **helpers})


async def check(pipeline: Pipeline, name: str) -> str:
    report = await evaluated(pipeline, "tiny_attention", candidate(name), "check", lambda _: None)
    return f"{report.verdict}: {report.feedback.summary}"


def interrupted(real: Callable[..., object], times: list[int]) -> Callable[..., object]:
    """ioctl, but every process is stopped and continued before its call is answered, once each."""

    def ioctl(descriptor: int, request: int, data: bytes) -> object:
        answer = real(descriptor, request, data)
        if request == process._RECEIVE and len(times) < 4:
            identity, pid = struct.unpack_from("=QI", data)
            times.append(pid)
            os.kill(pid, signal.SIGSTOP)
            os.kill(pid, signal.SIGCONT)
            try:
                while True:  # ends: the kernel answers once it is told
                    real(descriptor, _STILL_WAITING, struct.pack("=Q", identity))
            except OSError:
                return answer
        return answer

    return ioctl


async def test_a_process_that_is_stopped_while_it_loads_may_ask_again(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    times: list[int] = []
    monkeypatch.setattr(fcntl, "ioctl", interrupted(fcntl.ioctl, times))
    assert (await check(pipeline, "honest")).startswith("correct")
    assert len(times) == 4


async def test_a_process_that_somebody_else_stops_is_woken(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a debugger or a person's kill -STOP do; nobody continues it but the harness."""
    stopped: list[int] = []
    real = Runner._resume

    def resume(self: Runner) -> None:
        real(self)
        if len(stopped) < 3:
            stopped.append(self._pid)
            os.kill(self._pid, signal.SIGSTOP)

    monkeypatch.setattr(Runner, "_resume", resume)
    assert (await check(pipeline, "honest")).startswith("correct")
    assert len(stopped) == 3


async def test_a_storm_of_stops_accuses_nobody(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    over = threading.Event()
    storms: list[threading.Thread] = []
    signals: list[int] = []
    real = Runner.greet

    def blow(process: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            while not over.is_set():  # ends: the test sets it
                for number in (signal.SIGSTOP, signal.SIGCONT):
                    signal.pidfd_send_signal(process, number)
                    signals.append(number)
                    over.wait(0.001)
        os.close(process)

    def greet(self: Runner, seconds: float) -> None:
        real(self, seconds)
        storms.append(threading.Thread(target=blow, args=(os.pidfd_open(self._pid),)))
        storms[-1].start()

    monkeypatch.setattr(Runner, "greet", greet)
    try:
        report = await evaluated(
            pipeline, "tiny_attention", candidate("honest"), "benchmark", lambda _: None
        )
    finally:
        over.set()
        for storm in storms:
            storm.join()
    assert report.correct, report.feedback
    assert len(signals) > 20


async def test_loading_that_took_long_is_tried_again(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = [9.0]
    real = Runner.greet

    def greet(self: Runner, seconds: float) -> None:
        real(self, seconds)
        self.load_seconds = slow.pop() if slow else self.load_seconds

    monkeypatch.setattr(Runner, "greet", greet)
    assert (await check(pipeline, "honest")).startswith("correct")
    slow[:] = [9.0, 8.5]
    assert "computed for 9.0 s while it was loaded" in await check(pipeline, "honest")


async def test_mapping_that_took_long_is_charged_to_nobody(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No candidate runs while its arguments are mapped; the machine had to find memory."""
    real = Runner.bind

    def bind(self: Runner, calls: Any) -> int:
        self._counted -= 2_000_000_000
        return real(self, calls)

    monkeypatch.setattr(Runner, "bind", bind)
    honest = candidate("honest")
    report = await evaluated(pipeline, "tiny_attention", honest, "benchmark", lambda _: None)
    assert report.score is not None, report.feedback
    assert all(c.milliseconds < 1000 for c in report.score.configurations)


@pytest.mark.parametrize("name", ["adaptive_exits_with_hidden", "adaptive_tells_hidden"])
async def test_the_person_is_told_what_the_author_is_not(
    name: str, pipeline: Pipeline, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "avo_tui.evaluation.person"):
        told = await check(pipeline, name)
    (line,) = caplog.messages
    assert line.startswith("tiny_attention ") and line.isascii()
    assert told.startswith("wrong_result") and "hidden case" in told
    assert any(word in line for word in ("exit", "fault")), line


@pytest.mark.parametrize("weak", [False, True])
async def test_without_reports_of_forbidden_calls_it_must_be_allowed(
    weak: bool, quick: None, scratch_base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on Linux before 5.5: a runner that asks for no reports stands for the old kernel."""
    source = (glue.NATIVE / "confine.h").read_text()
    asks = "reports = install(SECCOMP_RET_USER_NOTIF, SECCOMP_FILTER_FLAG_NEW_LISTENER"
    assert asks in source
    native = scratch_base / "native"
    native.mkdir()
    (native / "runner.cpp").write_text((glue.NATIVE / "runner.cpp").read_text())
    (native / "confine.h").write_text(source.replace(asks, asks.replace("_NEW_", "_NO_")).replace(
        "#ifndef SECCOMP_RET_USER_NOTIF", "#define SECCOMP_FILTER_FLAG_NO_LISTENER (1UL << 20)\n"
        "#ifndef SECCOMP_RET_USER_NOTIF",
    ))  # fmt: skip
    monkeypatch.setattr(glue, "NATIVE", native)
    pipeline = Pipeline(TASKS, allow_weak_sandbox=weak)
    told = await check(pipeline, "honest")
    assert told.startswith("correct" if weak else "harness_error: this kernel does not report")
    forbidden = await check(pipeline, "opens_files")
    assert forbidden.startswith("suspicious" if weak else "harness_error")


async def test_a_task_sets_its_own_limits(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind = type(pipeline.tasks.get("tiny_attention"))
    monkeypatch.setattr(kind, "call_seconds", 0.4)
    assert (await check(pipeline, "deadlocks")).endswith("did not return within 0.4 s")
    monkeypatch.setattr(kind, "memory_bytes", 120 << 20)
    assert "more than 120 MiB" in await check(pipeline, "allocates_for_ever")
