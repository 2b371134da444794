"""The machine code of a C++ candidate, and where it spends its time on one configuration."""

from __future__ import annotations

import asyncio
import re
import shutil
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from avo_tui.domain.questions import Window
from avo_tui.evaluation.backends.cpp.compiler import LIMITS, CompiledCpp, Compiler, copy_into
from avo_tui.evaluation.backends.cpp.elf import read_shared_object
from avo_tui.evaluation.backends.cpp.glue import argument_file
from avo_tui.evaluation.backends.cpp.loops import Loop, function_ranges, innermost_loops, loops_text
from avo_tui.evaluation.backends.cpp.process import limits_of
from avo_tui.evaluation.backends.cpp.toolchain import read_untrusted
from avo_tui.evaluation.disassembly_view import shown, split_objdump
from avo_tui.evaluation.input_files import DrawnInputs, write_input_files
from avo_tui.evaluation.measurement.metric import Work
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


MOST_LOOPS = 12
MOST_OTHERS = 5
LEAST_SHARE = 0.005
"""Share of the samples below which a place is not named."""

_LEGEND = (
    "What a loop consists of is counted in the machine code, for one pass. Loads and stores are all"
    " instructions that read and write memory: as many stores as multiply-adds mean that"
    " accumulators go through memory instead of staying in registers. Stack accesses are"
    " accumulators or indices that did not fit the registers."
    " `disassemble function=ADDRESS` shows the code around an address."
)


def reached_text(samples: Samples, work: Work, ceiling: float) -> str:
    """The rate of arithmetic and its share of what a core reaches, in a line; "" if not known.

    `work` is that of one call; `ceiling` the operations per second of one core, 0 if not known.
    The time is that of the processor, over all threads, so the rate is that of one core.
    """
    if work.flops <= 0 or samples.seconds <= 0:
        return ""
    rate = work.flops * samples.calls / samples.seconds
    whose = " of the reference's operations" if work.nominal else ""
    text = f"a core does {rate / 1e9:.4g} GFLOP/s{whose} there"
    if ceiling > 0:
        text += (
            f", {rate / ceiling:.0%} of the {ceiling / 1e9:.4g} that multiply-adds in registers"
            " reach on it"
        )
    return text


def sampled_text(listing: str, samples: Samples, reached: str = "", *, times: bool = True) -> str:
    """The profile as text of several lines. `listing` is objdump's of the shared object.

    `reached` is a line that stands above the loops. Without `times` there is nothing from which the
    time of a call follows, such as the number of calls.
    """
    total = samples.total
    loops = innermost_loops(listing)
    counts = {id(loop): samples.within(loop.addresses) for loop in loops}
    busy = [loop for loop in loops if counts[id(loop)] >= LEAST_SHARE * total]
    busy.sort(key=lambda loop: -counts[id(loop)])
    each = samples.seconds / samples.calls * 1e3
    calls = f"{total} samples in {samples.calls} calls of {each:.4g} ms, shares"
    lines = [f"{calls if times else 'shares of the samples,'} good to ±{1 / total**0.5:.1%}"]
    lines += [reached] if reached else []
    lines.append(
        f"on {samples.about}, the same inputs in every call, so caches are warm (not so in"
        " timed calls); innermost loops, the busiest first:"
    )
    for loop in busy[:MOST_LOOPS]:
        hottest = _hottest(loop, samples)
        lines.append(f"- {counts[id(loop)] / total:.1%} {loop.line()}; most at {hottest}")
    lines += _others(listing, loops, samples)
    idle = sum(counts[id(loop)] == 0 for loop in loops)
    if idle:
        s = "s" if idle > 1 else ""
        lines.append(f"{idle} further innermost loop{s} never ran while it was sampled.")
    lines.append(_LEGEND)
    return "\n".join(lines)


def _hottest(loop: Loop, samples: Samples) -> str:
    """The instruction of a loop at which most samples lie, with its address."""
    address, line = max(
        zip(loop.addresses, loop.lines, strict=True), key=lambda one: samples.own[one[0]]
    )
    text = " ".join(line.partition(":")[2].split())
    return f"{address:x} ({text})"


def _others(listing: str, loops: list[Loop], samples: Samples) -> list[str]:
    """What lies outside the innermost loops: by function of the candidate, and of libraries."""
    inside = {address for loop in loops for address in loop.addresses}
    rest: Counter[str] = Counter()
    ranges = function_ranges(listing)
    for address, count in samples.own.items():
        if address not in inside:
            name = next((name for name, span in ranges if address in span), "other code")
            rest[f"in {name}, outside its innermost loops"] += count
    for name, count in samples.elsewhere.items():
        rest[f"in {name}"] += count
    named = [(where, n) for where, n in rest.most_common(MOST_OTHERS)]
    total = samples.total
    return [f"- {n / total:.1%} {where}" for where, n in named if n >= LEAST_SHARE * total]


_FUNCTION = re.compile(r"^[0-9a-f]+ <(.*)>:$", re.MULTILINE)
_MISSING = "objdump is not installed on this machine: install binutils."


async def disassemble(
    compiled: CompiledCpp, sandbox: Sandbox, function: str | None, window: Window
) -> str:
    """The assembly of a function; counts of instructions by kind go first."""
    text = await _listing(compiled, sandbox)
    if text is None:
        return _MISSING
    facts = {}
    if summary := compiled.resources.summary():
        facts["resources"] = summary
    wanted = function or deepest(text)
    return shown(split_objdump(text), wanted, facts, window)


def deepest(listing: str) -> str | None:
    """The function with the loop nested deepest, loops around its calls included; None without a
    loop."""
    loops = innermost_loops(listing)
    return loops[0].function if loops else None


async def profile(
    task: Task,
    compiled: CompiledCpp,
    drawn: DrawnInputs,
    tools: Compiler,
    sandbox: Sandbox,
    ceiling: float | None = 0.0,
) -> str:
    """Where the time goes on these inputs, and what the innermost loops consist of.

    `ceiling`: operations per second that one core reaches; 0 where it is not known; None for
    shares only, without what a call takes.
    """
    text = await _listing(compiled, sandbox)
    if text is None:
        return _MISSING
    try:
        samples = await sample(task, compiled, drawn, tools, sandbox)
        if ceiling is None:
            return sampled_text(text, samples, times=False)
        reached = reached_text(samples, task.work(drawn.configuration), ceiling)
        return sampled_text(text, samples, reached)
    except NotSampledError as error:
        return f"Not sampled on {drawn.about}: {error}.\n{loops_text(text)}"


async def _listing(compiled: CompiledCpp, sandbox: Sandbox) -> str | None:
    """objdump's listing of the candidate's code; None where there is no objdump."""
    if shutil.which("objdump") is None:
        return None
    own = compiled.own_object
    with sandbox.scratch() as scratch:
        copy_into(scratch, compiled.library, *([] if own is None else [own]))
        command = "objdump -d -C --no-show-raw-insn -j .text candidate.so > listing.txt"
        if own is not None:
            command += f" && objdump -d -C {own.name} > own.txt"
        outcome = await sandbox.run(
            Job(command=("/bin/sh", "-c", command), scratch=scratch, limits=LIMITS)
        )
        if not outcome.ok:
            return ""
        listing = read_untrusted(scratch / "listing.txt").decode(errors="replace")
        if own is None:
            return listing
        return _only(
            _functions(read_untrusted(scratch / "own.txt").decode(errors="replace")), listing
        )


def _functions(listing: str) -> frozenset[str]:
    return frozenset(_FUNCTION.findall(listing))


def _only(functions: frozenset[str], listing: str) -> str:
    """The listing without those functions that a linked runtime library brought."""
    head, *blocks = re.split(r"(?m)^(?=[0-9a-f]+ <)", listing)
    kept = [b for b in blocks if (name := _FUNCTION.match(b)) and name[1] in functions]
    return "".join([head, *kept])
