"""What the strict gate makes of noise, of one kernel in fresh processes, and of a true gain.

    python benchmarks/gate_noise.py                                    # attention_cpu
    python benchmarks/gate_noise.py --task mha_forward --configurations full-4k,causal-4k \
        --kernel benchmarks/hopper_lineage/versions/10_three_warpgroups \
        --slower benchmarks/hopper_lineage/versions/09_rescale_in_gaps \
        --cosmetic 4 --itself 4 --gains 20 --seconds 220

Three questions, each answered through the same evaluator and the same rules as in a run:

1. `--cosmetic N` copies of a kernel that differ in a comment and in the name of a constant, each
   handed to the strict gate: how many are committed? With the upper end of the exact 95% interval
   (Clopper and Pearson, Biometrika 26, 1934).
2. The ratio of the kernel to itself in ten pairs of fresh processes: its standard deviation.
3. `--gains N` copies beside a rival that is slower by about 2%: how many are committed?

For attention_cpu the kernel is the seed with constants that make it fast, and the slower rival is
the same kernel that computes every fiftieth tile twice. For any other task `--kernel` and
`--slower` name two folders, such as two versions of a lineage. The mean of the measured gains is
printed beside the answer. What is known is printed as it comes, and `--seconds` ends the whole in
time. On a machine with many cores several processes share the copies, each on two cores of its own:

    for k in 0 1 2 3 4 5 6; do taskset -c $((2*k)),$((2*k+1)) python benchmarks/gate_noise.py \
        --cosmetic 15 --first $((1000*k)) --itself 0 --gains 0 --seconds 460 & done; wait

`--configurations` keeps a task to some of its configurations, to save
time on a device that is paid for by the second.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import re
import shutil
import statistics
import tempfile
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path

from avo_tui.domain import tunables
from avo_tui.domain.candidate import Candidate
from avo_tui.domain.evidence import Comparison, Ledger, log_gains
from avo_tui.domain.gate_rules import GateDecision, Rival, decide
from avo_tui.domain.questions import MachineQuestion, RemeasureQuestion
from avo_tui.domain.score import PairedMeasurement, Score
from avo_tui.evaluation.pipeline import Pipeline

NO_SCORE = Score(unit="", reference_baseline="")
FAST = {
    "ALGORITHM": "2", "TILE_Q": "24", "TILE_K": "64", "VECTOR": "8", "ROWS": "4",
    "COLUMNS_S": "2", "COLUMNS_O": "2", "EXPONENTIAL": "1", "PACK_K": "1", "SKIP_FUTURE": "1",
}  # fmt: skip
"""Constants with which the seed of attention_cpu is fast."""
ONE_TILE = "            query_tile(h, begin, std::min<int64_t>(TILE_Q, sequence - begin));\n"
SOME_TWICE = (
    "        {\n"
    + ONE_TILE
    + "            if ((head * 131 + begin / TILE_Q) % 50 == 0)\n    "
    + ONE_TILE
    + "        }\n"
)
"""What makes attention_cpu slower by about 2%."""


@dataclass
class Answer:
    """What came of one question."""

    asked: int = 0
    accepted: int = 0
    unclear: int = 0
    replicates: int = 0
    seconds: float = 0.0
    gains: list[float] = field(default_factory=list)
    deviations: list[float] = field(default_factory=list)


def at_most(accepted: int, asked: int, error: float = 0.025) -> float:
    """The upper end of the exact 95% interval of a share, by bisection."""
    if accepted >= asked:
        return 1.0
    low, high = accepted / asked, 1.0
    for _ in range(60):
        share = (low + high) / 2
        below = math.fsum(
            math.comb(asked, k) * share**k * (1 - share) ** (asked - k) for k in range(accepted + 1)
        )
        low, high = (share, high) if below > error else (low, share)
    return high


def at_least(accepted: int, asked: int) -> float:
    """The lower end of the exact 95% interval of a share."""
    return 1 - at_most(asked - accepted, asked) if asked else 0.0


def cosmetic(candidate: Candidate, number: int) -> Candidate:
    """The same kernel with another comment: other bytes, another build, the same work."""
    name = next(n for n in sorted(candidate.files) if n.endswith((".cpp", ".cc", ".cu")))
    note = f"// variant {number}: nothing but this comment\n"
    unused = f"static const int variant_{number} [[maybe_unused]] = {number};\n"
    body = candidate.files[name]
    text = note + body + ("\n" + unused if name.endswith((".cpp", ".cc")) else "\n" + note)
    return Candidate(files={**candidate.files, name: text})


class GateBench:
    """One machine, one task, one ledger, as in one run."""

    def __init__(self, pipeline: Pipeline, task: str, deadline: float) -> None:
        self._pipeline, self._task, self._deadline = pipeline, task, deadline
        self._held: dict[int, Comparison] = {}

    @property
    def over(self) -> bool:
        """True once the time is used up."""
        return time.monotonic() >= self._deadline

    async def pair(self, one: Candidate, other: Candidate, replicate: int) -> PairedMeasurement:
        """One replicate. Raises RuntimeError where it could not be made."""
        question = RemeasureQuestion(files=one.files, other=other.files, replicate=replicate)
        report = await self._pipeline.ask(self._task, question)
        if report.paired is None:
            raise RuntimeError(report.feedback.summary)
        return report.paired

    async def ask(self, one: Candidate, other: Candidate) -> tuple[GateDecision, Comparison]:
        """What the strict gate says of `one` beside `other`."""
        comparison = Ledger(self._held.values()).begin(one.id, other.id, "here")
        while True:
            ledger = Ledger(self._held.values())
            decision = decide("strict", Rival(0, NO_SCORE), comparison, ledger)
            if decision is not None:
                if comparison.number in self._held:
                    done = comparison.replaced(accepted=decision.accepted)
                    self._held[comparison.number] = done
                return decision, comparison
            new = await self.pair(one, other, len(comparison.replicates))
            comparison = comparison.replaced(replicates=(*comparison.replicates, new))
            self._held[comparison.number] = comparison

    async def many(self, pairs: list[tuple[Candidate, Candidate]]) -> Answer:
        """Asks about each pair, until the time is over."""
        answer = Answer()
        for one, other in pairs:
            if self.over:
                break
            began = time.monotonic()
            decision, comparison = await self.ask(one, other)
            answer.asked += 1
            answer.accepted += decision.accepted
            answer.unclear += decision.outcome == "unclear"
            answer.replicates += decision.replicates
            answer.seconds += time.monotonic() - began
            answer.gains.append(decision.gain or 0.0)
            answer.deviations.append(
                statistics.stdev(log_gains(comparison.replicates))
                if decision.replicates > 1
                else 0.0
            )
            print(f"  {answer.asked:3d} {decision.outcome:9s} {decision.reason}", flush=True)
        return answer

    async def itself(self, one: Candidate, times: int) -> list[float]:
        """The ratio of a kernel to itself, once a pair of fresh processes."""
        gains = []
        for number in range(times):
            if self.over:
                break
            gains.append((await self.pair(one, cosmetic(one, 9000 + number), number)).gain)
        return gains


def load(task: str, folder: Path | None, pipeline: Pipeline) -> Candidate:
    """The kernel in a folder, or the task's seed."""
    if folder is None:
        return pipeline.tasks.get(task).seed()
    files = {p.name: p.read_text(encoding="utf-8") for p in folder.iterdir() if p.is_file()}
    return Candidate(files={n: t for n, t in files.items() if not n.endswith((".md", ".json"))})


def kernel_and_slower(
    options: argparse.Namespace, pipeline: Pipeline
) -> tuple[Candidate, Candidate | None]:
    """The kernel that is measured, and one that is slower by about 2%, where there is one."""
    kernel = load(options.task, options.kernel, pipeline)
    if options.slower is not None:
        return kernel, load(options.task, options.slower, pipeline)
    if options.task != "attention_cpu" or options.kernel is not None:
        return kernel, None
    kernel = tunables.apply(kernel, FAST)
    files = {n: t.replace(ONE_TILE, SOME_TWICE) for n, t in kernel.files.items()}
    slower = Candidate(files=files)
    if slower.id == kernel.id:
        raise SystemExit("the seed of attention_cpu has no longer the line that is repeated")
    return kernel, slower


def narrowed(task: str, names: str, into: Path) -> Path:
    """A folder of tasks that holds one, with only the named configurations."""
    source = Pipeline().tasks.get(task).folder
    shutil.copytree(source, into / task)
    module = into / task / "task.py"
    text = module.read_text(encoding="utf-8")
    (kind,) = re.findall(r"^class (\w+)\(", text, flags=re.MULTILINE)[-1:]
    kept = {name.strip() for name in names.split(",")}
    text += (
        f"\n\n_all = {kind}.configurations\n"
        f"{kind}.configurations = property(\n"
        f"    lambda self: tuple(c for c in _all.fget(self) if c.name in {sorted(kept)!r})\n)\n"
    )
    module.write_text(text, encoding="utf-8")
    return into


async def run(options: argparse.Namespace) -> dict[str, object]:
    """All questions in turn; the result as JSON has it."""
    kernels = None
    if options.configurations:
        kernels = narrowed(
            options.task, options.configurations, Path(tempfile.mkdtemp(prefix="gate-noise-"))
        )
    pipeline = Pipeline(kernels, allow_weak_sandbox=options.allow_weak_sandbox)
    began = time.monotonic()
    bench = GateBench(pipeline, options.task, began + options.seconds)
    kernel, slower = kernel_and_slower(options, pipeline)
    result: dict[str, object] = {"task": options.task, "kernel": kernel.id[:12]}
    try:
        machine = await pipeline.ask(options.task, MachineQuestion())
        result["device"] = machine.device
        print(f"{options.task} on {machine.device}", flush=True)
        own = await bench.itself(kernel, options.itself)
        if len(own) > 1:
            result["itself"] = own
            logs = [math.log(g) for g in own]
            print(
                f"the kernel beside itself, {len(own)} pairs of fresh processes: "
                f"{math.expm1(statistics.mean(logs)):+.3%}, sd {statistics.stdev(logs):.3%}",
                flush=True,
            )
        if options.gains and slower is not None:
            pairs = [
                (cosmetic(kernel, 5000 + options.first + n), slower) for n in range(options.gains)
            ]
            result["gain"] = tell("true gain", await bench.many(pairs))
        if options.cosmetic:
            copies = range(options.first, options.first + options.cosmetic)
            pairs = [(cosmetic(kernel, n), kernel) for n in copies]
            result["cosmetic"] = tell("cosmetic", await bench.many(pairs))
    finally:
        await pipeline.close()
        result["seconds"] = time.monotonic() - began
        if options.out is not None:
            options.out.write_text(json.dumps(result, indent=1), encoding="utf-8")
    return result


def tell(what: str, answer: Answer) -> dict[str, object]:
    """Prints one answer, and returns it for the file."""
    if answer.asked:
        low, high = at_least(answer.accepted, answer.asked), at_most(answer.accepted, answer.asked)
        print(
            f"{what}: {answer.accepted} of {answer.asked} committed (95%: {low:.1%} to {high:.1%}),"
            f" {answer.unclear} unclear, gain {statistics.mean(answer.gains):+.2%} in the mean,"
            f" {answer.replicates / answer.asked:.1f} pairs and"
            f" {answer.seconds / answer.asked:.1f} s each",
            flush=True,
        )
    return asdict(answer)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--task", default="attention_cpu")
    parser.add_argument("--kernel", type=Path, help="folder of the kernel; the seed without")
    parser.add_argument("--slower", type=Path, help="folder of a kernel known to be 2%% slower")
    parser.add_argument("--configurations", default="", help="comma-separated; all without")
    parser.add_argument("--cosmetic", type=int, default=100)
    parser.add_argument(
        "--first", type=int, default=0, help="number of the first copy: another in each process"
    )
    parser.add_argument("--gains", type=int, default=20)
    parser.add_argument("--itself", type=int, default=10)
    parser.add_argument("--seconds", type=float, default=1e9, help="end after this long")
    parser.add_argument("--out", type=Path, help="write the figures as JSON")
    parser.add_argument("--allow-weak-sandbox", action="store_true")
    asyncio.run(run(parser.parse_args()))


if __name__ == "__main__":
    main()
