"""The worker's side of the GPU process, with a stub that speaks its protocol."""

import asyncio
import os
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from avo_tui.evaluation.backends.cuda import process
from avo_tui.evaluation.backends.cuda.process import (
    GpuProcess,
    ProcessDiedError,
    ProcessTimeoutError,
)

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
async def running(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[GpuProcess]:
    monkeypatch.setattr(process, "MODULE", "tests.evaluation.cuda.stub.stub_child")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("ANTHROPIC_API_KEY", "not for candidates")
    found = await GpuProcess.start(4096)
    yield found
    await found.end()


async def gone(pid: int) -> bool:
    """True once the process has ended; a kill takes effect a moment after it was sent."""
    status = Path(f"/proc/{pid}/status")
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        try:
            if "State:\tZ" in status.read_text():
                return True
        except (FileNotFoundError, ProcessLookupError):
            return True
        await asyncio.sleep(0.02)
    return False


async def test_asked_and_answered(running: GpuProcess) -> None:
    reply = await running.ask({"op": "echo", "text": "ß"}, 60)
    assert reply["ok"]
    assert reply["said"] == "ß"
    assert running.shared[:5] == b"hello"
    assert "ANTHROPIC_API_KEY" not in reply["environment"]
    assert "CUDA_VISIBLE_DEVICES" in reply["environment"]


async def test_events_come_before_the_answer(running: GpuProcess) -> None:
    seen = []
    async for reply in running.converse({"op": "events"}, 60):
        seen.append(reply.get("event", "answer"))
        if reply.get("event") == "verify":
            await running.acknowledge()
    assert seen == ["alive", "verify", "answer"]


async def test_silence_is_ended_with_all_that_was_started(running: GpuProcess) -> None:
    grandchild = (await running.ask({"op": "start"}, 60))["child"]
    with pytest.raises(ProcessTimeoutError):
        await running.ask({"op": "hang"}, 0.2)
    assert not running.alive
    assert await gone(grandchild)


async def test_a_signal_is_named(running: GpuProcess) -> None:
    with pytest.raises(ProcessDiedError) as caught:
        await running.ask({"op": "signal"}, 60)
    assert caught.value.signal == "SIGSEGV"


async def test_an_end_without_an_answer_is_told_with_its_last_words(running: GpuProcess) -> None:
    with pytest.raises(ProcessDiedError) as caught:
        await running.ask({"op": "stop"}, 60)
    assert caught.value.signal == ""
    assert "gone" in running.printed()


async def test_what_is_printed_is_kept_bounded(running: GpuProcess) -> None:
    await running.ask({"op": "print", "text": "x" * 100_000 + "end"}, 60)
    said = running.printed()
    assert said.strip().endswith("end")
    assert "left out" in said
    assert len(said) < 20_000


async def test_what_was_printed_before_a_mark_is_not_told(running: GpuProcess) -> None:
    await running.ask({"op": "print", "text": "hidden"}, 60)
    mark = running.mark()
    await running.ask({"op": "print", "text": "public"}, 60)
    assert running.printed(mark).strip() == "public"
    await running.end()
    assert running.printed(mark).strip() == "public"


async def test_ending_twice_is_harmless(running: GpuProcess) -> None:
    await running.end()
    await running.end()
    assert not running.alive


def test_the_visible_device_follows_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3, 5")
    assert process.child_environment()["CUDA_VISIBLE_DEVICES"] == "3"
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    assert process.child_environment()["CUDA_VISIBLE_DEVICES"] == "0"
    assert os.environ.get("HOME") != process.child_environment()["HOME"]
