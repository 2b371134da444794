"""CuTe DSL's kinds, compiled on one machine and launched on another that lacks the DSL.

    python -m plugins.gpu_python.tests.cute_carried compile FOLDER    without a GPU
    python -m plugins.gpu_python.tests.cute_carried run FOLDER        on an H200

The first writes every kind's source, cubins and launch plans for sm_90a; the second gives these to
the harness in the compiler's place, says each verdict, and measures the seed.
"""

from __future__ import annotations

import asyncio
import os
import pickle
import sys
import time
from collections.abc import Sequence, Set
from pathlib import Path
from typing import Any

from avo_tui_gpu_python.cute.language import CUTE
from avo_tui_gpu_python.front import TracedFrontEnd

from avo_tui.domain.candidate import Candidate
from avo_tui.domain.questions import EvaluateQuestion
from avo_tui.domain.task import Configuration
from avo_tui.domain.verdict import Feedback, Verdict
from avo_tui.evaluation.backends.base import Rejected
from avo_tui.evaluation.backends.cuda.compiled import every_configuration
from avo_tui.evaluation.backends.cuda.compiler import CompiledCandidate
from avo_tui.evaluation.backends.cuda.front import Plans
from avo_tui.evaluation.backends.cuda.launch_plan import DeviceFacts
from avo_tui.evaluation.backends.cuda.task import CudaTask
from avo_tui.evaluation.candidates import read_candidate
from avo_tui.evaluation.conformance import examine
from avo_tui.evaluation.pipeline import Pipeline
from avo_tui.evaluation.sandbox.run import Sandbox
from avo_tui.evaluation.tasks import find_tasks
from plugins.gpu_python.tests.traced import CHANGES, write

TASK = "mha_forward@cute"
ARCHITECTURE = "sm_90a"


async def compile_all(folder: Path) -> None:
    """Writes `FOLDER/KIND.compiled` for each kind; a refusal is written as well."""
    write("cute", folder)
    task = find_tasks().get(TASK)
    assert isinstance(task, CudaTask)
    front = TracedFrontEnd(CUTE, Sandbox())
    facts = DeviceFacts.of_architecture(ARCHITECTURE)
    places = asyncio.Semaphore(max(1, (os.cpu_count() or 2) // 2))

    async def compile_one(kind: str) -> None:
        candidate = read_candidate(folder / kind)
        outcome: object
        async with places:
            begin = time.monotonic()
            try:
                outcome = await front.compile(task, candidate, facts, *every_configuration(task))
                words = "compiled"
            except Rejected as error:
                outcome = error.verdict, error.feedback
                words = f"{error.verdict}: {error.feedback.summary}"
        (folder / f"{kind}.compiled").write_bytes(pickle.dumps((candidate.id, outcome)))
        print(f"{kind}: {words} ({time.monotonic() - begin:.1f} s)", flush=True)

    await asyncio.gather(*map(compile_one, CHANGES["cute"]))


async def run_all(folder: Path) -> None:
    """Prints the verdict on each kind that was compiled, then the seed's measurement."""
    compiled = sorted(folder.glob("*.compiled"))
    outcomes: dict[str, Any] = dict(pickle.loads(path.read_bytes()) for path in compiled)

    async def carried(
        front: TracedFrontEnd,
        task: CudaTask,
        candidate: Candidate,
        facts: DeviceFacts,
        configurations: Sequence[Configuration],
        hidden: Set[str],
    ) -> tuple[CompiledCandidate, Plans]:
        assert facts == DeviceFacts.of_architecture(ARCHITECTURE), facts
        if candidate.id not in outcomes:
            raise Rejected(Verdict.HARNESS_ERROR, Feedback(summary="was not compiled"))
        outcome = outcomes[candidate.id]
        if isinstance(outcome[0], Verdict):
            raise Rejected(*outcome)
        unit: CompiledCandidate = outcome[0]
        plans: Plans = outcome[1]
        return unit, plans

    TracedFrontEnd.compile = carried  # type: ignore[method-assign, assignment]
    pipeline = Pipeline(None)
    known = {path.stem for path in compiled}
    try:
        async for row in examine(pipeline, TASK, folder):
            if row.kind not in known:
                continue  # the suite asked for it all the same, and was told so
            print("as wanted" if row.ok else "WRONG", row.kind, row.verdict, row.words, flush=True)
        honest = read_candidate(folder / "honest")
        report = await pipeline.ask(TASK, EvaluateQuestion(files=honest.files))
        print(report.model_dump_json(include={"verdict", "feedback", "score", "seconds"}))
    finally:
        await pipeline.close()


if __name__ == "__main__":
    work = {"compile": compile_all, "run": run_all}[sys.argv[1]]
    asyncio.run(work(Path(sys.argv[2])))
