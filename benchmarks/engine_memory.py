"""What a step leaves in the engine's memory, with an operator that asks no model.

python benchmarks/engine_memory.py [--steps 400]

Each step records what a short step of an agent does (four tools with their results, one evaluation,
no version). Four rows tell the process's memory and the bytes of the objects that the state, the
writer and the engine hold (see held.py): what is the same as in `agent_week.py` is not the agent's.
Evaluations take no time.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import logging
import sys
import tempfile
from pathlib import Path

import psutil

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from avo_tui.domain import events as ev  # noqa: E402
from avo_tui.domain.base import now  # noqa: E402
from avo_tui.domain.records import Author, SessionRecord  # noqa: E402
from avo_tui.domain.run_settings import RunSettings  # noqa: E402
from avo_tui.evolution.engine import Engine  # noqa: E402
from avo_tui.operators.ports import StepOutcome, Workbench  # noqa: E402
from avo_tui.store import SessionWriter  # noqa: E402
from benchmarks.agent_days import evaluator  # noqa: E402
from benchmarks.held import held_by_attribute, held_bytes  # noqa: E402
from tests.evolution.fake_evaluator import TASK  # noqa: E402
from tests.evolution.laboratory import NoKnowledge  # noqa: E402

TOOLS = 4


class Steady:
    """Evaluates one further source in each step, and ends it."""

    author: Author = "seat"

    def __init__(self) -> None:
        self.steps = 0

    async def vary(self, bench: Workbench) -> StepOutcome:
        """One step without a model."""
        self.steps += 1
        head = bench.reading.candidate(bench.reading.head.candidate)
        name, text = next(iter(head.files.items()))
        changed = head.replaced(files={name: f"{text}\n// {self.steps}\n"})
        for number in range(TOOLS):
            call, tool = f"c{number}", "read_candidate"
            bench.recording.record(ev.ToolCalled(call=call, tool=tool))
            result = bench.recording.keep(f"result {self.steps}.{number} " * 50)
            bench.recording.record(
                ev.ToolReturned(call=call, tool=tool, ok=True, summary="x" * 100, ref=result)
            )
        await bench.evaluating.evaluate(changed, f"idea {self.steps}")
        return StepOutcome(outcome="nothing", reason="it brought nothing measurable")


async def measure(folder: Path, steps: int) -> None:
    """Run so many steps; prints a row at each quarter."""
    rules = ("attempts", "seconds", "usd", "repeats", "failures")
    settings = RunSettings(operator="seat", options={f"supervisor.{rule}": 10**9 for rule in rules})
    session = SessionRecord(name="m", task=TASK, created=now(), settings=settings)
    writer, operator, process = SessionWriter.create(folder, session), Steady(), psutil.Process()
    engine = Engine(writer, evaluator(), operator, NoKnowledge())
    running = asyncio.ensure_future(engine.run())
    shown = 0
    while shown < steps and not running.done():
        await asyncio.sleep(0.05)
        if operator.steps - shown < steps // 4:
            continue
        shown = operator.steps
        gc.collect()
        seen: set[int] = set()
        held = {
            "state": held_bytes([writer.state], seen),
            "writer": sum(held_by_attribute(writer, seen).values()),
            "engine": sum(held_by_attribute(engine, seen).values()),
        }
        each = ", ".join(f"{name} {size / 1e3:.0f} KB" for name, size in held.items())
        print(f"{shown:6} steps: {process.memory_info().rss / 1e6:.1f} MB; {each}", flush=True)
    running.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await running
    writer.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--steps", type=int, default=400)
    options = parser.parse_args()
    logging.disable(logging.WARNING)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as parent:
        asyncio.run(measure(Path(parent) / "m", options.steps))


if __name__ == "__main__":
    main()
