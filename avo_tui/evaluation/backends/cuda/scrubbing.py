"""The kernel that overwrites shared memory between runs, compiled once for a device."""

from __future__ import annotations

from pathlib import Path

from avo_tui.domain.candidate import Candidate
from avo_tui.evaluation.backends.cuda.compiler import Compiler
from avo_tui.evaluation.backends.cuda.launch_plan import DeviceFacts
from avo_tui.evaluation.backends.cuda.process import Reply
from avo_tui.evaluation.backends.cuda.resolve import resolve
from avo_tui.evaluation.ports import EvaluatorError

_FOLDER = Path(__file__).parent / "harness" / "scrub"


class Scrub:
    """What the GPU process needs to launch the kernel."""

    def __init__(self, code: bytes, symbols: dict[str, str], plan: dict[str, object]) -> None:
        self.code = code
        self._symbols, self._plan = symbols, plan

    def request(self, path: Path) -> Reply:
        """The request that hands it over; `path` holds the code."""
        return {"op": "scrub", "path": str(path), "symbols": self._symbols, "plan": self._plan}


async def compiled(compiler: Compiler, facts: DeviceFacts) -> Scrub:
    """Compiles it. Raises EvaluatorError where that fails: the harness is broken then."""
    files = {name: (_FOLDER / name).read_text("utf-8") for name in ("scrub.cu", "launch.toml")}
    unit = await compiler.compile(Candidate(files=files), facts.architecture)
    if not unit.ok or unit.manifest is None:
        message = f"{unit.feedback.summary} {unit.feedback.log}"[:500]
        raise EvaluatorError(f"the harness's own kernel does not compile: {message}")
    plan = resolve(unit.manifest, {"BYTES": facts.shared_memory}, (), facts)
    return Scrub(unit.units[0].code, unit.units[0].symbols, plan.model_dump())
