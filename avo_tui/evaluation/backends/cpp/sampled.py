"""Samples where a C++ candidate spends its time on one configuration."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from avo_tui.evaluation.backends.cpp.argument_file import argument_file
from avo_tui.evaluation.backends.cpp.compiler import CompiledCpp, Compiler, copy_into
from avo_tui.evaluation.backends.cpp.elf import read_shared_object
from avo_tui.evaluation.backends.cpp.process import limits_of
from avo_tui.evaluation.backends.cpp.toolchain import read_untrusted
from avo_tui.evaluation.input_files import DrawnInputs, write_input_files
from avo_tui.evaluation.ports import EvaluatorError
from avo_tui.evaluation.sandbox.policy import MIB, Job
from avo_tui.evaluation.sandbox.run import Sandbox
from avo_tui.evaluation.task import Task

SECONDS = 1.0
"""Processor seconds for which a candidate is sampled; three calls at least."""
_LONGEST = 120.0
_MOST_BYTES = 1 << 22
"""Largest size of the profile's file in bytes."""


class NotSampledError(Exception):
    """The candidate could not be sampled; the message says why."""


@dataclass(frozen=True)
class Samples:
    """How often the candidate was seen at which place."""

    about: str
    """Configuration, kind of inputs and seed."""
    calls: int
    seconds: float
    """Processor time of all calls."""
    own: Counter[int] = field(default_factory=Counter)
    """Address in the candidate's shared object → samples."""
    elsewhere: Counter[str] = field(default_factory=Counter)
    """Another library, with its function if known → samples."""

    @property
    def total(self) -> int:
        """All samples."""
        return self.own.total() + self.elsewhere.total()

    def within(self, addresses: Sequence[int]) -> int:
        """Samples at any of these addresses."""
        return sum(self.own[address] for address in addresses)


async def sample(
    task: Task, compiled: CompiledCpp, drawn: DrawnInputs, tools: Compiler, sandbox: Sandbox
) -> Samples:
    """Call the candidate again and again on the same inputs and note where it is.

    Raises NotSampledError where it ends before it is done, or is given nothing to do.
    """
    image = read_shared_object(compiled.library.read_bytes())
    program = await tools.sampler(task, sandbox)
    with sandbox.scratch() as folder:
        try:
            files = await asyncio.to_thread(write_input_files, task, drawn, folder)
        except EvaluatorError as error:
            raise NotSampledError(str(error)) from error
        (folder / "arguments.txt").write_text(argument_file(task, drawn, files), encoding="utf-8")
        copy_into(folder, program, compiled.library)
        size = sum(file.bytes for file in files)
        own = limits_of(task)
        limits = replace(
            own,
            seconds=_LONGEST,
            memory_bytes=own.memory_bytes + 2 * size,
            scratch_bytes=own.scratch_bytes + size + 16 * MIB,
            processes=own.processes + task.threads,
        )
        command = (
            "./sampler", f"./{compiled.library.name}", task.entry, str(SECONDS), str(task.threads),
            *image.needed,
        )  # fmt: skip
        threads = {"OMP_NUM_THREADS": str(task.threads), "OMP_WAIT_POLICY": "passive"}
        ran = await sandbox.run(
            Job(command=command, scratch=folder, limits=limits, environment=threads)
        )
        if not ran.ok:
            raise NotSampledError(f"it ended before it was sampled ({ran.reason})")
        try:
            text = read_untrusted(folder / "profile.txt", _MOST_BYTES).decode(errors="replace")
        except EvaluatorError as error:
            raise NotSampledError(str(error)) from error
    return read_samples(text, drawn.about)


def read_samples(text: str, about: str) -> Samples:
    """The samples of a `profile.txt`. Raises NotSampledError where it is not of that form: a
    candidate shares the process that writes it."""
    own: Counter[int] = Counter()
    elsewhere: Counter[str] = Counter()
    lines = text.splitlines()
    try:
        word, calls, seconds = lines[0].split()
        if word != "calls" or int(calls) < 1 or not 0 <= float(seconds) < 1e6:
            raise ValueError(lines[0])
        for line in lines[1:]:
            kind, rest = line.split(" ", 1)
            where, count = rest.rsplit(" ", 1)
            if int(count) < 0 or kind not in {"at", "in"}:
                raise ValueError(line)
            if kind == "at":
                own[int(where, 16)] += int(count)
            else:
                elsewhere[where[:80]] += int(count)
    except (ValueError, IndexError) as error:
        raise NotSampledError("its process wrote no profile") from error
    samples = Samples(about, int(calls), float(seconds), own, elsewhere)
    if not samples.total:
        raise NotSampledError("its calls were too short to be seen")
    return samples
