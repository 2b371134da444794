"""What the tests of the CUDA backend share: candidates from folders, and a context."""

import tomllib
from pathlib import Path
from typing import Any

from avo_tui.domain.candidate import Candidate
from avo_tui.domain.report import EvaluationProgress
from avo_tui.evaluation.backends.base import Context
from avo_tui.evaluation.backends.cuda.task import CudaTask
from avo_tui.evaluation.sandbox.run import Sandbox
from avo_tui.evaluation.tasks import load_task

HERE = Path(__file__).parent
CANDIDATES = HERE.parent / "candidates" / "cuda"
SANDBOX = Sandbox()
"""One for all: what it can do is found out once."""
VERDICTS: dict[str, dict[str, Any]] = tomllib.loads((CANDIDATES / "verdicts.toml").read_text())


def small_task() -> CudaTask:
    """The task whose shapes take milliseconds."""
    task = load_task(HERE / "tasks" / "attention_small")
    assert isinstance(task, CudaTask)
    return task


def candidate(name: str) -> Candidate:
    """A candidate of the folder, with the shared kernel and manifest where it has no own."""
    files = {p.name: p.read_text() for p in (CANDIDATES / name).iterdir()}
    files.setdefault("base.cuh", (CANDIDATES / "base.cuh").read_text())
    files.setdefault("launch.toml", (CANDIDATES / "default.toml").read_text())
    return Candidate(files=files)


def mutants() -> dict[str, tuple[Candidate, str]]:
    """Mistake → the honest kernel with that mistake, and why it is none where it is none."""
    told: dict[str, dict[str, Any]] = tomllib.loads((CANDIDATES / "mutants.toml").read_text())
    honest = candidate("honest")
    found = {}
    for name, body in told.items():
        equivalent = str(body.pop("equivalent", ""))
        macros = "".join(f"#define {macro}{a} {text}\n" for macro, (a, text) in body.items())
        source = f"#include <cuda_fp16.h>\n{macros}{honest.files['attention.cu']}"
        files = {**honest.files, "attention.cu": source}
        found[name] = (Candidate(files=files), equivalent)
    return found


def context(quick: bool = False) -> tuple[Context, list[EvaluationProgress]]:
    """A context, and the signs of life that come through it."""
    seen: list[EvaluationProgress] = []
    return Context(SANDBOX, seen.append, quick), seen
