"""`avo adopt --check`: the base through every stage, and what is weak about it."""

from __future__ import annotations

import math
import random
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from statistics import median, stdev

from pydantic import Field

from avo_tui.domain.base import Value
from avo_tui.domain.candidate import Candidate
from avo_tui.domain.evidence import LOOKS, PRIOR_SPREAD, budget_share, look_share
from avo_tui.domain.outlook import needed_gain
from avo_tui.domain.report import HIDDEN
from avo_tui.domain.repository import Proof
from avo_tui.evaluation.backends.base import Rejected
from avo_tui.evaluation.backends.command.checking import Checking
from avo_tui.evaluation.backends.command.executed import Executed, executed, sentence
from avo_tui.evaluation.backends.command.measuring import Measuring, Turns
from avo_tui.evaluation.backends.command.project import SEED, seeded
from avo_tui.evaluation.backends.command.task import RepositoryTask
from avo_tui.evaluation.backends.command.workshop import Tree, Workshop
from avo_tui.evaluation.backends.cpp.toolchain import cpu_model
from avo_tui.evaluation.locks import device_lock
from avo_tui.evaluation.ports import EvaluatorError
from avo_tui.evaluation.sandbox.run import Sandbox

_PAIRS = 3
_PROOF_PAIRS = 6
_SOURCES = (".c", ".cc", ".cpp", ".cxx", ".cu", ".rs", ".pyx", ".ts")
_MUTANTS, _MUTANT_SECONDS = 6, 300.0
_PROVING = 600.0
"""Seconds within which the smallest gain that can be shown is told."""
_SWAPS = (
    (re.compile(r"(?<=[\w)\]]) \+ (?=[\w(])"), " - "),
    (re.compile(r"(?<=[\w)\]]) - (?=[\w(])"), " + "),
    (re.compile(r"(?<=[\w)\]]) \* (?=[\w(])"), " + "),
    (re.compile(r"(?<=[\w)\]]) < (?=[\w(])"), " >= "),
    (re.compile(r"(?<=[\w)\]]) > (?=[\w(])"), " <= "),
    (re.compile(r"(?<=[\w)\]]) == (?=[\w('\"])"), " != "),
    (re.compile(r"(?<=[\w)\]]) \+= (?=[\w(])"), " -= "),
    (re.compile(r"^(\s*return) (?!None\b)([^;\n]+)$"), r"\1 None"),
)
_COMMENT = re.compile(r"\s*(#|//|/?\*|\"\"\")")


class Tried(Value):
    build_seconds: float = 0.0
    rebuild_seconds: float | None = None
    """After one file changed; None where nothing is built."""
    test_seconds: float = 0.0
    benchmark_seconds: float = 0.0
    metrics: dict[str, str] = Field(default_factory=dict)
    """Metric → its value on the base, with the unit."""
    noise: float = 0.0
    """Standard deviation of the gain between pairs of fresh processes, the base beside itself."""
    pair_seconds: float = 0.0
    smallest_gain: float | None = None
    """That ten minutes at the gate can show; None where they are too short for two pairs."""
    notes: tuple[str, ...] = ()
    weaknesses: tuple[str, ...] = ()


@dataclass
class Trial:
    """One run through all stages. `say` is told what goes on."""

    shop: Workshop
    say: Callable[[str], None]
    notes: list[str] = field(default_factory=list)
    weak: list[str] = field(default_factory=list)

    async def run(self, mutants: bool = True) -> Tried:
        """Raises EvaluatorError with the first stage that fails on the base."""
        project = self.shop.project
        self.say("build")
        base = await self.shop.built_base()
        if written := sorted(self.shop.touched)[:5]:
            self.notes.append(f"the build writes {', '.join(written)} itself: not compared")
        for link in self.shop.base.foreign_links[:5]:
            self.notes.append(f"{link} is a link out of the tree: in the sandbox it leads nowhere")
        self.say("tests")
        tested = await self._tests()
        if not project.test.hidden:
            self.weak.append(
                "no hidden tests: a candidate may fit the tests that its author can read"
            )
        if SEED not in project.benchmark.command:
            self.weak.append(
                "the benchmark's inputs are the same each time, so a candidate may fit them; where"
                f" it takes a seed, write {SEED} in its command: a new number in each round"
            )
        self.say("benchmark, the base beside itself")
        tried = await self._measured(base)
        self.say("which lines the benchmark executes")
        ran = await self._executed()
        rebuild = await self._rebuilt(ran) if project.build.command else None
        if mutants:
            await self._mutants(ran, tested)
        return tried.replaced(
            build_seconds=base.seconds,
            rebuild_seconds=rebuild,
            test_seconds=tested,
            notes=tuple(self.notes),
            weaknesses=tuple(self.weak),
        )

    async def _measured(self, base: Tree) -> Tried:
        """The base beside itself: what scatters, and what can be shown in spite of it."""
        measuring = Measuring(self.shop)
        gains, seconds, values, wall = [], [], {}, 0.0
        async with device_lock(self.shop.device, lambda _: None):
            for _ in range(_PAIRS):
                began = time.monotonic()
                turns = await measuring.turns(base, base, "remeasure", lambda _: None)
                seconds.append(time.monotonic() - began)
                gains.append(measuring.paired(turns, 0.0).gain)
                score = measuring.score(turns, self.shop.project.configurations)
                values = {c.name: f"{c.throughput:.4g} {score.unit}" for c in score.configurations}
                wall = median(run.wall for run in (*turns.ours, *turns.theirs))
        noise = stdev(map(math.log, gains))
        pairs = max((n for n in LOOKS if n * median(seconds) <= _PROVING), default=0)
        smallest = None
        if pairs:
            share = budget_share(1) * look_share(LOOKS.index(pairs) + 1)
            # Three pairs say little of a spread: it is taken with the one that a session assumes.
            pooled = (noise**2 * (_PAIRS - 1) + PRIOR_SPREAD**2 * 2) / (_PAIRS + 1)
            smallest = needed_gain(pooled, pairs, share)
        return Tried(
            benchmark_seconds=wall,
            metrics=values,
            noise=noise,
            pair_seconds=median(seconds),
            smallest_gain=smallest,
        )

    async def _executed(self) -> Executed | None:
        """What the benchmark executes of the editable files, told as a note or a weakness."""
        ran = await executed(self.shop, self.shop.seed)
        if ran is None:
            self.notes.append("executed lines are not shown: no tool tells them for this build")
        elif not any(ran.lines.values()):
            self.weak.append("the benchmark executes no line of the editable files")
        else:
            files = sorted(ran.lines, key=lambda name: -len(ran.lines[name]))
            self.notes.append(
                f"the benchmark executes {sum(map(len, ran.lines.values()))} lines of"
                f" {len(files)} editable file{'s' * (len(files) != 1)}, most of them in"
                f" {', '.join(files[:3])}"
            )
        return ran

    async def _rebuilt(self, ran: Executed | None) -> float | None:
        """Seconds of the build after a change, and whether it notices one: what is no code in any
        language must break it."""
        seed = self.shop.seed
        lines = {name: len(numbers) for name, numbers in ran.lines.items()} if ran else {}
        names = [name for name in seed.files if name.endswith(_SOURCES)]
        names = sorted(names, key=lambda n: (-lines.get(n, 0), -len(seed.files[n])))[:3]
        seconds = None
        for name in names:
            try:
                if seconds is None:
                    blank = seed.with_file(name, seed.files[name] + "\n")
                    seconds = (await self.shop.built(blank)).seconds
                await self.shop.built(seed.with_file(name, "@@ no code @@\n" + seed.files[name]))
            except Rejected:
                return seconds
        if names:
            self.weak.append(
                f"the build does not notice a change of {', '.join(names)}: say fresh = true"
                " under [build], so that each candidate is built from nothing"
            )
        return seconds

    async def _tests(self) -> float:
        """The tests, twice: what fails once is flaky. Raises EvaluatorError."""
        base, checking = await self.shop.built_base(), Checking(self.shop)
        runs = [await checking.tested(base) for _ in range(2)]
        failed = [(names or ran.words, ran.text) for ran, names in runs if not ran.ok]
        if len(failed) == 2:
            names, text = failed[1]
            told = "\n".join(text.splitlines()[-12:])
            raise EvaluatorError(
                f"the tests fail on the base: {names}; leave them out of the test command, or mend"
                f" them:\n{told}"
            )
        if failed:
            self.weak.append(f"flaky: {failed[0][0]} failed once of twice")
        return max(ran.outcome.seconds for ran, _ in runs)

    async def _mutants(self, ran: Executed | None, tested: float) -> None:
        """Whether the tests notice when executed lines of the editable files compute nonsense."""
        began, survived, tried = time.monotonic(), [], 0
        checking = Checking(self.shop)
        for name, number, mutant in mutations(self.shop.seed, ran):
            if tried >= _MUTANTS or time.monotonic() - began + tested > _MUTANT_SECONDS:
                break
            try:
                tree = await self.shop.built(mutant)
            except Rejected:
                continue  # it does not build: another one
            tried += 1
            self.say(f"mutant {tried}: {name}, line {number}")
            try:
                await checking.check(tree, True, lambda _: None)
            except Rejected:
                continue
            line = mutant.files[name].splitlines()[number - 1].strip()
            survived.append(f"{name}:{number} ({line[:60]})")
        if survived:
            self.weak.append(
                f"the tests pass for {len(survived)} of {tried} mutants: {'; '.join(survived)}"
            )
        elif tried:
            self.notes.append(f"the tests notice {tried} of {tried} mutants")
        else:
            self.notes.append(
                "no mutant was tried: no line to change was found, or it takes too long"
            )


def mutations(seed: Candidate, ran: Executed | None) -> Iterator[tuple[str, int, Candidate]]:
    """(file, line, the candidate with that line changed), in an order that chance decides once."""
    places = []
    for name, text in seed.files.items():
        for number, line in enumerate(text.splitlines(), start=1):
            if ran is not None and number not in ran.lines.get(name, ()):
                continue
            if _COMMENT.match(line) or line.lstrip().startswith(("#include", "import ", "from ")):
                continue
            for pattern, new in _SWAPS:
                if pattern.search(line) and (name.endswith(".py") or "None" not in new):
                    places.append((name, number, pattern.sub(new, line, count=1)))
                    break
    random.Random(1).shuffle(places)  # noqa: S311  which ones are tried has no secret
    for name, number, line in places:
        lines = seed.files[name].splitlines(keepends=True)
        end = lines[number - 1][len(lines[number - 1].rstrip("\r\n")) :]
        lines[number - 1] = line + end
        yield name, number, seed.with_file(name, "".join(lines))


async def reported(shop: Workshop) -> dict[str, float]:
    """Every metric that the base's benchmark reports, with its value. Raises EvaluatorError."""
    measuring = Measuring(shop)
    async with device_lock("cpu", lambda _: None):
        run = await measuring.run(await shop.built_base(), measuring.cpus(), ())
    return {name: reading.value for name, reading in run.readings.items()}


async def prove(task: RepositoryTask, candidate: Candidate, sandbox: Sandbox) -> Proof:
    """Everything once more, with no file that an earlier build left, but what the base's build
    fetched. Raises Rejected."""
    build = task.project.build
    fresh = build.model_copy(update={"fresh": not build.network})
    project = task.project.model_copy(update={"build": fresh})
    shop = Workshop(project, task.base, sandbox, task.folder)
    try:
        tree = await shop.built(candidate)
        checks = await Checking(shop).check(tree, False, lambda _: None)
        measuring, base = Measuring(shop), await shop.built_base()
        replicates, whole = [], Turns()
        async with device_lock(shop.device, lambda _: None):
            for _ in range(_PROOF_PAIRS):
                turns = await measuring.turns(tree, base, "remeasure", lambda _: None)
                replicates.append(measuring.paired(turns, 0.0))
                whole = Turns(whole.ours + turns.ours, whole.theirs + turns.theirs)
        named = {HIDDEN: "hidden tests"}
        told = [f"{named.get(c.name, c.name)} passed {c.detail}".strip() for c in checks]
        told += filter(None, [project.unshown])
        cores = project.benchmark.cores
        measured = seeded(project.benchmark.command)
        commands = (project.build.command, project.test.command, measured)
        return Proof(
            replicates=tuple(replicates),
            score=measuring.score(whole, task.configurations),
            checks=tuple(told),
            device=f"{cpu_model()}, {cores or 'all'} core{'s' if cores != 1 else ''}",
            commands=tuple(filter(None, commands)),
            executed=await sentence(shop, candidate),
        )
    finally:
        shop.close()
