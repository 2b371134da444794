"""What many days of the agent cost in memory, time and disk.

python benchmarks/agent_days.py [--steps 2000] [--out result.json]

The real agent and the real engine run step after step against a scripted server on loopback, with
an evaluation that takes no time. The app is attached to the running session from the first step to
the last, at 120x40, in a process of its own; its driver paints and writes nothing. Every twentieth
step commits a version. Printed are, over time: resident memory of engine and app, milliseconds of a
step and of a commit, the time to open the session, and bytes on disk.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import multiprocessing
import os
import platform
import re
import statistics
import subprocess
import sys
import tempfile
import time
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import psutil

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

EVERY = 20
"""Each so many steps a version is committed."""


# -- the scripted server, in a process of its own


def _answer(number: int, body: dict[str, Any]) -> Any:
    from tests.loopback.server import Answer, text, tool

    opening = body["messages"][0]["content"][0]["text"]
    found = re.search(r"# Step (\d+)", opening)
    level = re.search(r"int level = (\d+);", opening)
    assert found and level
    step, now = int(found.group(1)), int(level.group(1))
    commit = step % EVERY == 0
    if sum(m["role"] == "assistant" for m in body["messages"]) == 0:
        source = f"int level = {now + commit};\nint step = {step};\n"
        return Answer(
            [
                text("I look at the loads first; the dot product waits for memory. " * 4),
                tool(
                    "set_plan", title=f"Idea {step}", items=[{"text": "edit"}, {"text": "measure"}]
                ),
                tool("list_attempts"),
                tool("write_file", file="kernel.cpp", text=source),
                tool("evaluate", title=f"idea {step}"),
            ]
        )
    if commit:
        return Answer([tool("submit", summary=f"Idea {step} makes it faster by one level.")])
    return Answer([tool("end_step", reason=f"Idea {step} brought nothing measurable.")])


def serve(pipe: Connection) -> None:
    """Runs the server until the pipe is closed."""

    async def run() -> None:
        from tests.loopback.server import Server

        class Forgetful(Server):
            async def _behave(self, what: Any, writer: asyncio.StreamWriter) -> None:
                self.requests.clear()
                self.headers.clear()
                await super()._behave(what, writer)

        async with Forgetful(_answer) as server:
            pipe.send(server.url)
            await asyncio.get_running_loop().run_in_executor(None, pipe.recv)

    asyncio.run(run())


# -- the app, in a process of its own


def attach(folder: str, pipe: Connection) -> None:
    """Shows the session; answers each question with its resident memory, once it has caught up."""

    async def run() -> None:
        from avo_tui.ui.app import AvoApp

        app = AvoApp(folder=Path(folder))
        async with app.run_test(size=(120, 40)) as pilot:
            pipe.send("shown")
            while True:
                await pilot.pause(0.1)
                if not pipe.poll():
                    continue
                wanted = pipe.recv()
                if wanted is None:
                    return
                while app.latest is None or app.latest.session.applied < wanted:
                    await pilot.pause(0.02)
                await pilot.pause(0.3)
                pipe.send((psutil.Process().memory_info().rss, len(app.latest.attempts)))

    asyncio.run(run())


def open_seconds(folder: Path) -> float:
    """Seconds to open the session for reading, in a process whose memory is not looked at."""
    code = (
        "import sys, time; from pathlib import Path; from avo_tui.store import SessionReader\n"
        "started = time.perf_counter()\n"
        "SessionReader.open(Path(sys.argv[1]))\n"
        "print(time.perf_counter() - started)"
    )
    command = [sys.executable, "-c", code, str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return float(done.stdout)


def disk(folder: Path) -> int:
    """Bytes of all files of the session."""
    return sum(f.stat().st_size for f in folder.rglob("*") if f.is_file())


# -- the engine


def evaluator() -> Any:
    """An evaluator whose score is the level that the source names."""
    from tests.evolution import fake_evaluator

    def speed(candidate: Any) -> float:
        found = re.search(r"int level = (\d+);", "".join(candidate.files.values()))
        return 1.0 + 0.02 * int(found.group(1)) if found else 0.5

    fake_evaluator.speed = speed
    fake_evaluator.SEED = "int level = 0;\nint step = 0;\n"
    return fake_evaluator.FakeEvaluator()


async def measure(folder: Path, steps: int, every: int) -> list[dict[str, float]]:
    """Runs the steps; one row of figures for each `every` of them."""
    from avo_tui.domain import events as ev
    from avo_tui.domain.base import now
    from avo_tui.domain.budget import Budget, Caps
    from avo_tui.domain.records import SessionRecord
    from avo_tui.domain.run_settings import RunSettings
    from avo_tui.evolution.engine import Engine
    from avo_tui.operators.agent import make
    from avo_tui.store import SessionWriter
    from tests.evolution.fake_evaluator import TASK
    from tests.evolution.laboratory import NoKnowledge

    os.environ.setdefault("ANTHROPIC_API_KEY", "not-a-key-loopback-only")
    context = multiprocessing.get_context("spawn")
    server_end, server_pipe = context.Pipe()
    server = context.Process(target=serve, args=(server_pipe,), daemon=True)
    server.start()
    options = {
        "base_url": server_end.recv(),
        "price_input": 4.0,
        "price_output": 20.0,
        "supervisor.attempts": 10**9,
        "supervisor.seconds": 10**9,
        "supervisor.usd": 10**9,
        "supervisor.failures": 10**9,
        "supervisor.repeats": 10**9,
    }
    settings = RunSettings(
        operator="agent",
        model="scripted",
        budget=Budget(run=Caps(steps=steps)),
        options=options,
    )
    session = SessionRecord(
        name="days", task=TASK, created=now(), settings=settings, budget=settings.budget
    )
    writer = SessionWriter.create(folder, session)
    app_end, app_pipe = context.Pipe()
    app = context.Process(target=attach, args=(str(folder), app_pipe), daemon=True)
    app.start()
    app_end.recv()
    rows: list[dict[str, float]] = []
    commits: list[float] = []
    began = time.perf_counter()
    last = began

    def listen(event: ev.Event) -> None:
        nonlocal last
        if isinstance(event, ev.ToolReturned) and event.tool == "submit" and event.ok:
            commits.append(event.seconds)
        if not isinstance(event, ev.StepFinished) or event.step % every:
            return
        here = time.perf_counter()
        app_end.send(event.seq)
        seen, attempts = app_end.recv()
        waited = time.perf_counter() - here
        row = {
            "step": event.step,
            "engine_mb": psutil.Process().memory_info().rss / 1e6,
            "app_mb": seen / 1e6,
            "app_behind_s": waited,
            "step_ms": (here - last) / every * 1e3,
            "commit_ms": statistics.median(commits) * 1e3 if commits else 0.0,
            "open_ms": open_seconds(folder) * 1e3,
            "disk_mb": disk(folder) / 1e6,
            "attempts": attempts,
        }
        rows.append(row)
        commits.clear()
        print(
            f"step {event.step:5d}: engine {row['engine_mb']:6.1f} MB, app"
            f" {row['app_mb']:6.1f} MB, step {row['step_ms']:6.1f} ms, commit"
            f" {row['commit_ms']:5.1f} ms, open {row['open_ms']:6.1f} ms, disk"
            f" {row['disk_mb']:6.2f} MB",
            flush=True,
        )
        last = time.perf_counter()

    engine = Engine(writer, evaluator(), make(settings), NoKnowledge(), listeners=[listen])
    try:
        await engine.run()
    finally:
        writer.close()
        app_end.send(None)
        server_end.send("end")
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--every", type=int, default=100)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    logging.disable(logging.INFO)
    with tempfile.TemporaryDirectory() as place:
        rows = asyncio.run(measure(Path(place) / "days", options.steps, options.every))
    first, final = rows[0], rows[-1]
    print(
        f"engine {first['engine_mb']:.0f} → {final['engine_mb']:.0f} MB, app"
        f" {first['app_mb']:.0f} → {final['app_mb']:.0f} MB, commit"
        f" {first['commit_ms']:.1f} → {final['commit_ms']:.1f} ms, open"
        f" {first['open_ms']:.0f} → {final['open_ms']:.0f} ms, {final['disk_mb']:.1f} MB on disk"
    )
    if options.out:
        facts = {"python": platform.python_version(), "machine": platform.machine(), "rows": rows}
        options.out.write_text(json.dumps(facts, indent=1) + "\n")


if __name__ == "__main__":
    main()
