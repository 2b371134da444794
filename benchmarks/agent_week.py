"""A week of the agent without anyone, in an hour: thousands of requests with faults of every class.

python benchmarks/agent_week.py [--requests 20000] [--faults 0.15] [--seed 1] [--out result.json]

The real agent and the real engine run step after step against a server on loopback that validates
each request as the API does, keeps the prompt cache by its rules and signs thinking over the
conversation. The scripted model edits the kernel, evaluates, submits; some steps are long and
rewrite a large kernel. A share of the answers is a fault drawn at random: refused, overloaded,
rate-limited, redirected, cut off, reset, garbled, silent, kept alive by pings, invalid to send
back, empty, cut at its limit. Waits are short, evaluations take no time, and a pause is resumed at
once, as a person would do it; both are counted.

Before each request the run's dollars are compared with the server's count. An answer that the
server has paid for, but that the agent gave up on because its first byte did not come in time, is
one that the run cannot know the cost of: it is counted as `unseen_usd`, where the run has noted
such a time-out since the request before. Any other difference is `unexplained_usd`, and wrong.

Each row tells, beside the process's memory, what the run's record (attempts, steps, versions, …)
holds of it, counted object by object; the end lists which tables of it have grown.

With --trace, what Python allocates is traced (it then runs at about a third of the speed): each row
has the traced MB, and the end lists which lines of code hold the growth since the first row, with
the package that they belong to: `store`, `domain` and pydantic are the run's record; `tests` is the
server itself, which runs in the same process.

Checked: no request is refused that the server was not told to refuse, there is never a minute
without a request, memory grows by no more than the
run's own record (attempts and steps, a few KB each), and the run's dollars and its number of
answers equal the server's own count.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import logging
import os
import platform
import re
import sys
import tempfile
import time
import tracemalloc
from collections import Counter
from pathlib import Path
from typing import Any

import psutil

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.agent_days import evaluator  # noqa: E402
from benchmarks.faulty_server import PRICE, FaultyServer  # noqa: E402
from benchmarks.held import held_by_attribute  # noqa: E402

TIMEOUT = 10.0
"""Seconds without a piece of an answer after which the agent gives up; some ten of the faults drawn
in 10,000 requests last that long."""
STUCK = 60.0
"""Seconds without a request after which the run counts as stuck."""


def run_settings(address: str) -> Any:
    from avo_tui.domain.run_settings import RunSettings

    off = {f"supervisor.{rule}": 10**9 for rule in ("attempts", "seconds", "usd", "repeats")}
    return RunSettings(
        operator="agent",
        model="scripted",
        options={
            **off,
            "supervisor.failures": 10**9,
            "agent.base_url": address,
            "agent.cache_ttl": "1h",
            "agent.wait_first": 0.005,
            "agent.wait_longest": 0.02,
            "agent.futile_wait": 0.01,
            "agent.read_timeout": TIMEOUT,
            "agent.progress_timeout": TIMEOUT,
            "agent.clear_at": 30_000,
            "agent.compact_at": 60_000,
            "agent.price_input": PRICE["input"],
            "agent.price_output": PRICE["output"],
            "agent.price_cache_read": PRICE["read"],
            "agent.price_cache_write": PRICE["write"],
        },
    )


class Trace:
    """Which lines of code hold what was allocated since the first look."""

    def __init__(self) -> None:
        self._first: tracemalloc.Snapshot | None = None
        self._last: tracemalloc.Snapshot | None = None

    def start(self) -> None:
        """Trace from here on: later than the imports, which it would slow down."""
        tracemalloc.start(1)

    def look(self) -> float:
        """Take a snapshot; MB that are held now."""
        gc.collect()
        self._last = tracemalloc.take_snapshot().filter_traces(
            [tracemalloc.Filter(False, tracemalloc.__file__)]
        )
        self._first = self._first or self._last
        return sum(s.size for s in self._last.statistics("filename")) / 1e6

    def growth(self, most: int = 25) -> list[str]:
        """The lines that hold most of the growth, in KB and blocks."""
        if self._first is None or self._last is None:
            return []
        grown = self._last.compare_to(self._first, "lineno")
        return [
            f"{s.size_diff / 1e3:+9.1f} KB {s.count_diff:+7} blocks  {s.traceback[0].filename}"
            f":{s.traceback[0].lineno}"
            for s in sorted(grown, key=lambda s: -s.size_diff)[:most]
        ]


async def soak(
    folder: Path, requests: int, faults: float, seed: int, trace: Trace | None = None
) -> dict[str, Any]:
    """Runs until so many requests were made; the figures."""
    from avo_tui.domain import events as ev
    from avo_tui.domain.base import now
    from avo_tui.domain.commands import Resume, Stop
    from avo_tui.domain.records import SessionRecord
    from avo_tui.evolution.engine import Engine
    from avo_tui.operators.agent import make
    from avo_tui.store import SessionReader, SessionWriter, send_command
    from tests.evolution.fake_evaluator import TASK
    from tests.evolution.laboratory import NoKnowledge

    pauses: Counter[str] = Counter()
    waits = failed = timeouts = 0
    rows: list[dict[str, float]] = []
    process = psutil.Process()

    def listen(event: ev.Event) -> None:
        nonlocal waits, failed, timeouts
        match event:
            case ev.StateChanged(state="paused"):
                pauses[re.sub(r"[0-9:]+", "#", event.reason)[:60]] += 1
                asyncio.get_running_loop().call_later(
                    0.05, send_command, folder, Resume(by="the soak")
                )
            case ev.StateChanged(state="parked"):
                waits += 1
            case ev.StepFinished(outcome="failed"):
                failed += 1
            case ev.TroubleNoted() if "no piece" in event.message or "in time" in event.message:
                timeouts += 1
                server.timeouts += 1
            case _:
                pass

    async with FaultyServer(faults, seed) as server:
        settings = run_settings(server.url)
        session = SessionRecord(name="week", task=TASK, created=now(), settings=settings)
        writer = SessionWriter.create(folder, session)
        server.run_usd = lambda: writer.state.session.spend.usd
        engine = Engine(writer, evaluator(), make(settings), NoKnowledge(), listeners=[listen])
        running = asyncio.ensure_future(engine.run())
        if trace is not None:
            trace.start()
        server.last_request = time.monotonic()  # what came before were imports
        first_held: dict[str, int] = {}
        held: dict[str, int] = {}
        began, stuck, shown = time.monotonic(), 0.0, 0
        while server.count < requests and not running.done():
            await asyncio.sleep(0.2)
            stuck = max(stuck, time.monotonic() - server.last_request)
            if server.count - shown >= max(100, requests // 20):
                shown = server.count
                row = {"requests": shown, "mb": process.memory_info().rss / 1e6}
                row["usd"] = server.usd
                held = held_by_attribute(writer.state, set())
                row["record_mb"] = sum(held.values()) / 1e6
                first_held = first_held or held
                if trace is not None:
                    row["traced_mb"] = trace.look()
                rows.append(row)
                print(
                    f"{shown:6} requests, {row['mb']:6.1f} MB ({row['record_mb']:.2f} of them the"
                    f" run's record), ${server.usd:9.4f},"
                    f" {sum(server.injected.values())} faults, {waits} waits,"
                    f" {sum(pauses.values())} pauses",
                    flush=True,
                )
            if stuck > STUCK:
                break
        send_command(folder, Stop())
        try:
            await asyncio.wait_for(running, 60)
        except TimeoutError:
            running.cancel()
        writer.close()
        reader = SessionReader.open(folder)
        spend = reader.state.session.spend
        server.run_usd = lambda: spend.usd
        server.compare()
        troubles = Counter(e.where for e in reader.events() if isinstance(e, ev.TroubleNoted))
        return {
            "requests": server.count,
            "seconds": time.monotonic() - began,
            "steps": reader.state.session.step,
            "versions": len(reader.state.versions),
            "injected": dict(server.injected),
            "invalid": server.invalid[:10],
            "longest_silence_s": stuck,
            "waits": waits,
            "pauses": dict(pauses),
            "failed_steps": failed,
            "timeouts": timeouts,
            "troubles": dict(troubles),
            "answers_server": server.answers,
            "answers_run": spend.requests,
            "usd_server": server.usd,
            "usd_run": spend.usd,
            "usd_unseen": server.unseen_usd,
            "usd_unexplained": server.unexplained_usd,
            "attempts": len(reader.state.attempts),
            "cache_share": server.read / max(1, server.input),
            "record_growth_kb": {
                name: round((size - first_held.get(name, 0)) / 1e3)
                for name, size in sorted(held.items(), key=lambda one: -one[1])
                if size - first_held.get(name, 0) > 1_000
            },
            "rows": rows,
        }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--requests", type=int, default=20_000)
    parser.add_argument("--faults", type=float, default=0.15, help="share of faulty answers")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--trace", action="store_true", help="trace allocations (slow)")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    logging.disable(logging.WARNING)
    os.environ["ANTHROPIC_API_KEY"] = "not-a-key-loopback-only"
    trace = Trace() if options.trace else None
    with tempfile.TemporaryDirectory() as parent:
        os.environ["SSL_CERT_DIR"] = parent  # nothing here speaks TLS
        result = asyncio.run(
            soak(Path(parent) / "week", options.requests, options.faults, options.seed, trace)
        )
    for line in trace.growth() if trace is not None else ():
        print(line)
    for name, value in result.items():
        if name != "rows":
            print(f"{name:18} {value}")
    off = abs(result["usd_server"] - result["usd_run"])
    rows = result["rows"]
    half = rows[len(rows) // 2 :] or [{"mb": 0.0}]
    growth = half[-1]["mb"] - half[0]["mb"]
    record = half[-1].get("record_mb", 0.0) - half[0].get("record_mb", 0.0)
    print(
        f"money: off by ${off:.6f}; memory in the second half: {growth:+.1f} MB, of them"
        f" {record:+.2f} MB the run's record"
    )
    if options.out:
        facts = {"python": platform.python_version(), "machine": platform.machine(), **result}
        options.out.write_text(json.dumps(facts, indent=1) + "\n")
    missed = result["answers_server"] - result["answers_run"]
    wrong = (
        not 0 <= missed <= result["timeouts"]
        or bool(result["invalid"])
        or result["failed_steps"]
        or result["usd_unexplained"] >= 0.005
    )
    sys.exit(1 if wrong or result["longest_silence_s"] > STUCK else 0)


if __name__ == "__main__":
    main()
