"""A quick comparison of two C++ candidates: see native/alternate.cpp."""

from __future__ import annotations

import asyncio
import math
import secrets
import time
from collections import defaultdict
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path

from avo_tui.domain.questions import CACHES, Alternation, Caches, QuickComparison
from avo_tui.domain.score import geomean
from avo_tui.domain.task import Configuration
from avo_tui.evaluation.backends.cpp.compiler import CompiledCpp, Compiler
from avo_tui.evaluation.backends.cpp.elf import read_shared_object
from avo_tui.evaluation.backends.cpp.glue import argument_file
from avo_tui.evaluation.backends.cpp.process import limits_of
from avo_tui.evaluation.backends.cpp.toolchain import read_untrusted
from avo_tui.evaluation.input_files import DrawnInputs, write_input_files
from avo_tui.evaluation.measurement import dtypes
from avo_tui.evaluation.measurement.statistics import median
from avo_tui.evaluation.pool import fresh_seed
from avo_tui.evaluation.ports import EvaluatorError
from avo_tui.evaluation.sandbox.policy import MIB, Job, Outcome
from avo_tui.evaluation.sandbox.run import Sandbox
from avo_tui.evaluation.task import Task

PROCESSES = 6
"""Fresh processes for each configuration; the interval is that between them."""
FEWEST_PROCESSES = 3
"""So many in any case; further ones only while the time is less than `OVER` times that asked for:
calls of slow kernels take longer."""
OVER = 3.0
NAMES = ("one", "other")
_LONGEST = 60.0
"""Seconds that one process may take beyond those it is to measure for."""
_MOST_TIMES = 4 << 20
"""Largest size of the file with the times, in bytes."""
_PAGE, _LINE = 4096, 64
_ROUNDING = 1e-2
"""Root mean square of the difference of two floating-point outputs, relative to that of the other
candidate's, above which a remark says that they differ."""


class NotComparedError(Exception):
    """Two candidates could not be compared; the message says why."""


@dataclass(frozen=True)
class Pair:
    """Two compiled candidates; `other` is the one that the speeds are relative to."""

    one: CompiledCpp
    other: CompiledCpp

    @property
    def needed(self) -> tuple[str, ...]:
        """The shared objects that they need, each once."""
        images = (read_shared_object(c.library.read_bytes()) for c in (self.one, self.other))
        return tuple(dict.fromkeys(name for image in images for name in image.needed))


@dataclass
class _Prepared:
    """One configuration with its inputs in a scratch folder."""

    configuration: Configuration
    folder: Path
    input_bytes: int
    speeds: dict[Caches, list[float]] = field(default_factory=lambda: defaultdict(list))
    milliseconds: dict[Caches, list[float]] = field(default_factory=lambda: defaultdict(list))
    rounds: int = 0
    remarks: list[str] = field(default_factory=list)

    def add(self, times: dict[Caches, list[tuple[float, float]]]) -> None:
        """Add the rounds of one process, nanoseconds of (one, other)."""
        for caches, rows in times.items():
            self.speeds[caches].append(median([theirs / ours for ours, theirs in rows]))
            self.milliseconds[caches].append(median([theirs for _, theirs in rows]) / 1e6)
            self.rounds += len(rows)

    def alternation(self, caches: Caches) -> Alternation:
        """The result over all processes."""
        return Alternation(
            speeds=tuple(self.speeds[caches]), milliseconds=geomean(self.milliseconds[caches])
        )


class Alternating:
    """Compares two candidates of a task."""

    def __init__(self, task: Task, pair: Pair, sandbox: Sandbox, cpu: int) -> None:
        """`cpu`: the processor that candidates of one thread stay on."""
        self._task = task
        self._pair = pair
        self._sandbox = sandbox
        self._cpu = cpu if task.threads == 1 else None

    async def compare(
        self, tools: Compiler, configurations: Sequence[Configuration], seconds: float
    ) -> QuickComparison:
        """Call the two in turn for about `seconds`, over all configurations, warm and cold.

        Raises NotComparedError where one of them ends the process, or the inputs are too large.
        """
        program = await tools.alternate(self._task, self._sandbox)
        each = seconds / (len(configurations) * PROCESSES * len(CACHES))
        began = time.monotonic()
        with ExitStack() as folders:
            rows = [
                await self._prepare(c, folders.enter_context(self._sandbox.scratch()), program)
                for c in configurations
            ]
            for number in range(PROCESSES):
                late = time.monotonic() - began > OVER * seconds
                if late and number >= FEWEST_PROCESSES:
                    break
                for row in rows:
                    await self._run(row, each, first=number == 0)
        return QuickComparison(
            warm={row.configuration.name: row.alternation("warm") for row in rows},
            cold={row.configuration.name: row.alternation("cold") for row in rows},
            calls=sum(4 * row.rounds for row in rows),
            seconds=round(time.monotonic() - began, 3),
            remarks=tuple(remark for row in rows for remark in row.remarks),
        )

    async def _prepare(
        self, configuration: Configuration, folder: Path, program: Path
    ) -> _Prepared:
        drawn = DrawnInputs(configuration, self._task.timed[0], fresh_seed())
        try:
            files = await asyncio.to_thread(write_input_files, self._task, drawn, folder)
        except EvaluatorError as error:
            raise NotComparedError(str(error)) from error
        text = argument_file(self._task, drawn, files)
        (folder / "arguments.txt").write_text(text, encoding="utf-8")
        for name, source in zip(
            ("alternate", *(f"{name}.so" for name in NAMES)),
            (program, self._pair.one.library, self._pair.other.library),
            strict=True,
        ):
            (folder / name).write_bytes(source.read_bytes())
            (folder / name).chmod(0o755)
        return _Prepared(configuration, folder, sum(file.bytes for file in files))

    async def _run(self, row: _Prepared, seconds: float, *, first: bool) -> None:
        """One process on one configuration; its times are added to `row`."""
        task, own = self._task, limits_of(self._task)
        output = sum(_bytes(shape, name) for shape, name in self._outputs(row).values())
        beside = row.input_bytes + 2 * output
        limits = replace(
            own,
            seconds=_LONGEST + 4 * seconds,
            memory_bytes=own.memory_bytes + 2 * beside,
            scratch_bytes=own.scratch_bytes + beside + 16 * MIB,
            file_bytes=max(own.file_bytes, output + MIB),
            processes=own.processes + task.threads,
        )
        shift = _LINE * secrets.randbelow(_PAGE // _LINE)
        command = (
            "./alternate", "./one.so", "./other.so", task.entry, str(task.threads),
            f"{seconds:.4f}", f"{seconds:.4f}", str(shift), *self._pair.needed,
        )  # fmt: skip
        environment = {"OMP_NUM_THREADS": str(task.threads), "OMP_WAIT_POLICY": "passive"}
        ran = await self._sandbox.run(
            Job(
                command=command,
                scratch=row.folder,
                limits=limits,
                environment=environment,
                cpu=self._cpu,
            )
        )
        if not ran.ok:
            raise NotComparedError(f"on {row.configuration.name} {_ending(ran)}")
        try:
            text = read_untrusted(row.folder / "times.txt", _MOST_TIMES).decode(errors="replace")
        except EvaluatorError as error:
            raise NotComparedError(str(error)) from error
        row.add(read_times(text))
        if first:
            row.remarks += await asyncio.to_thread(self._differences, row)

    def _outputs(self, row: _Prepared) -> dict[str, tuple[tuple[int, ...], str]]:
        """Shape and element type of each output, by the number of its argument."""
        outputs = self._task.outputs(row.configuration)
        return {
            str(number): outputs[argument.name]
            for number, argument in enumerate(self._task.arguments)
            if argument.kind == "output"
        }

    def _differences(self, row: _Prepared) -> list[str]:
        """A remark for each output in which the two candidates differ by more than rounding."""
        remarks = []
        for number, (shape, dtype) in self._outputs(row).items():
            size = _bytes(shape, dtype)
            try:
                one, other = (
                    read_untrusted(row.folder / f"{name}.{number}.bin", size) for name in NAMES
                )
            except EvaluatorError as error:
                remarks.append(str(error))
                continue
            share = _difference(one, other, dtype) if len(one) == len(other) == size else 1.0
            if share > 0:
                name = self._task.arguments[int(number)].name
                remarks.append(
                    f"on {row.configuration.name} its {name} differs from the version's by"
                    f" {share:.2g} (relative): check it before trusting its times"
                )
        return remarks


def _bytes(shape: Sequence[int], dtype: str) -> int:
    return math.prod(shape) * dtypes.dtype(dtype).bytes


def _difference(one: bytes, other: bytes, dtype: str) -> float:
    """How far two outputs differ; 0.0 where rounding may explain it.

    The root mean square of the difference relative to that of `other`; for integers the share of
    values that differ.
    """
    import torch

    kind = dtypes.dtype(dtype)
    if not one:
        return 0.0
    a, b = (
        torch.frombuffer(bytearray(data), dtype=getattr(torch, kind.name)) for data in (one, other)
    )
    if kind.exact:
        return float((a != b).double().mean())
    if kind.kind == "complex":
        a, b = torch.view_as_real(a), torch.view_as_real(b)
    a, b = a.double(), b.double()
    same = (a == b) | (a.isnan() & b.isnan())
    squares = torch.where(same, torch.zeros_like(a), a - b).square().mean()
    scale = b.nan_to_num(0.0, 0.0, 0.0).square().mean()
    share = float((squares / scale.clamp_min(1e-300)).sqrt())
    return share if not share <= _ROUNDING else 0.0


def read_times(text: str) -> dict[Caches, list[tuple[float, float]]]:
    """The rounds of a `times.txt`. Raises NotComparedError where it is not of that form: the
    candidates share the process that writes it."""
    times: dict[Caches, list[tuple[float, float]]] = {caches: [] for caches in CACHES}
    known = {str(caches): caches for caches in CACHES}
    try:
        for line in text.splitlines():
            word, one, other = line.split()
            row = (float(one), float(other))
            if not all(math.isfinite(value) and 0 < value < 1e13 for value in row):
                raise ValueError(line)
            times[known[word]].append(row)
        if not all(times.values()):
            raise ValueError("no rounds")
    except (ValueError, KeyError) as error:
        raise NotComparedError("the process with both candidates wrote no times") from error
    return times


def _ending(ran: Outcome) -> str:
    """Whose fault it was, as far as the last line says, and how the process ended."""
    last = ran.stdout.strip().rpartition("\n")[2]
    whose = {"one": "the candidate", "other": "the version beside it"}.get(last, "one of the two")
    if ran.reason == "time":
        return f"{whose} was still running after more than {_LONGEST:.0f} s"
    if ran.reason == "error":
        return f"the process could not be started: {ran.error}"
    ended = f"by signal {ran.signal}" if ran.reason == "signalled" else f"({ran.reason})"
    return f"{whose} ended the process {ended}; check says more"
