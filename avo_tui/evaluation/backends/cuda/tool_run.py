"""Runs a candidate under a tool of the CUDA toolkit: profiler or sanitizer."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from avo_tui.domain.task import Configuration
from avo_tui.evaluation.backends.cuda.compiled import CudaCompiled
from avo_tui.evaluation.backends.cuda.process import MODULE, child_environment
from avo_tui.evaluation.backends.cuda.task import CudaTask
from avo_tui.evaluation.sandbox.tree import descendants


class WatchError(RuntimeError):
    """The tool could not do its work; the text is one sentence that says why."""


@dataclass(frozen=True)
class ToolRun:
    """The command for the tool to start, and the folder in which it may write."""

    folder: Path
    command: tuple[str, ...]
    """Command of the GPU process, to be appended to the tool and its options."""
    symbols: tuple[str, ...]
    """Names in the cubins of all kernels that are launched."""


@contextlib.contextmanager
def watched(
    task: CudaTask,
    compiled: CudaCompiled,
    configurations: Sequence[Configuration],
    *,
    bare: bool,
    kind: str = "normal",
) -> Iterator[ToolRun]:
    """Prepares one run on each configuration; `bare` without guard bands and poison.

    `kind`: of the inputs' values.
    """
    plans = [compiled.plans[c.name] for c in configurations]
    symbols = {
        compiled.unit.unit_of(plan.variant).symbols[stage.entry]
        for plan in plans
        for stage in plan.launches
    }
    size = 2 * max(sum(t.bytes for t in task.tensors(c) if t.output) for c in configurations)
    with tempfile.TemporaryDirectory(prefix="avo-watched-") as name:
        folder = Path(name)
        units = []
        for number, unit in enumerate(compiled.unit.units):
            path = folder / f"{number}.cubin"
            path.write_bytes(unit.code)
            units.append(unit.request(str(path)))
        requests: list[dict[str, object]] = [
            {"op": "open", "task": str(task.folder.resolve())},
            {"op": "load", "who": "candidate", "units": units},
        ]
        requests += [
            {
                "op": "run",
                "who": "candidate",
                **compiled.launch(configuration),
                "configuration": configuration.model_dump(),
                "seed": 1,
                "distribution": kind,
                "repeat": False,
                "perturb": False,
                "bare": bare,
            }
            for configuration in configurations
        ]
        lines = "".join(json.dumps(request) + "\n" for request in requests)
        (folder / "requests").write_text(lines, encoding="utf-8")
        command = (sys.executable, "-m", MODULE, "-", "-", str(size))
        yield ToolRun(folder, command, tuple(sorted(symbols)))


async def run_tool(
    command: Sequence[str], prepared: ToolRun, device: int, seconds: float
) -> tuple[int, str]:
    """(exit status, what was printed). Raises WatchError where it does not end in time.

    Everything that it started has ended then.
    """
    with (prepared.folder / "requests").open("rb") as requests:
        starting = asyncio.ensure_future(
            asyncio.create_subprocess_exec(
                *command,
                *prepared.command,
                stdin=requests,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
                env=child_environment(device),
                cwd=prepared.folder,
                start_new_session=True,
            )
        )
        try:
            process = await asyncio.shield(starting)
        except asyncio.CancelledError:
            # Cancelled itself, it would end the tool and leave what that has started.
            process = await starting
            _kill(process.pid)
            await process.wait()
            raise
    try:
        out, _ = await asyncio.wait_for(process.communicate(), seconds)
    except TimeoutError as error:
        raise WatchError(f"{Path(command[0]).name} did not end within {seconds:.0f} s") from error
    finally:
        _kill(process.pid)
        await process.wait()
    return process.returncode or 0, out.decode(errors="replace")


def _kill(root: int) -> None:
    """Ends a tool with all that it started: tools give what they watch a group of its own."""
    below = descendants(root)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(root, signal.SIGKILL)
    for pid in below:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
