"""Time attention kernels beside each other and beside the libraries, on normal data.

    python benchmarks/hopper_lineage/race.py --ablations --out results
    python benchmarks/hopper_lineage/race.py versions/13_wider_groups versions/14_two_warpgroups

Every kernel and every library runs once a round, in random order, one event before and one after
it; the ratio to FlashAttention-3 (or, without fa3-fwd, to cuDNN) is the median over the rounds of
the ratios within a round, since the card's clock depends on what ran before. --ablations adds the
kernels of ablations/ablations.toml, each one change of `base`. A kernel whose output differs from a
good library's by more than 2^-6 (relative above 1) is named and left out: the harness judges
properly, this only times. A kernel that hangs hangs this: run it with a time limit.
Prints a table, and writes all samples to OUT/race.json. Needs a Hopper GPU.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tomllib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from math import exp, log
from pathlib import Path
from statistics import fmean, median

ROOT = Path(__file__).resolve().parents[2]
if str(ROOT) not in sys.path:  # the checkout need not be installed
    sys.path.insert(0, str(ROOT))

import torch  # noqa: E402

from avo_tui.domain.candidate import Candidate  # noqa: E402
from avo_tui.domain.task import Configuration  # noqa: E402
from avo_tui.evaluation.backends.cuda.task import CudaTask  # noqa: E402
from avo_tui.evaluation.candidates import read_candidate  # noqa: E402
from avo_tui.evaluation.tasks import find_tasks  # noqa: E402
from benchmarks.dropout_lineage.stages import (  # noqa: E402
    Events,
    Staged,
    baselines,
    compile_candidate,
)

FOLDER = Path(__file__).parent
ABLATIONS = FOLDER / "ablations"
WARM_ROUNDS = 3
CLOSE = 2.0**-6
AT_ONCE = 8
"""Compilations at the same time."""

Samples = dict[str, list[float]]
"""Kernel or library → milliseconds, one for each round."""


def ablations() -> dict[str, Candidate]:
    """Name → the kernel of the ablations with that set of macros."""
    table = tomllib.loads((ABLATIONS / "ablations.toml").read_text(encoding="utf-8"))
    source = (ABLATIONS / "attention.cu").read_text(encoding="utf-8")
    manifest = (ABLATIONS / "launch.toml").read_text(encoding="utf-8")
    found: dict[str, Candidate] = {}
    for kernel in table["kernels"]:
        macros = {"NWG": 3, "BN": 128, "STAGES": 2, **kernel["macros"]}
        text = "macros = { " + ", ".join(f"{k} = {v}" for k, v in macros.items()) + " }\n"
        files = {"attention.cu": source, "launch.toml": text + manifest}
        found[kernel["name"]] = Candidate(files=files)
    return found


def race(jobs: dict[str, Callable[[], Events]], rounds: int) -> Samples:
    """Milliseconds of each job in each round; the order changes from round to round."""
    samples: Samples = {name: [] for name in jobs}
    order = list(jobs)
    for number in range(WARM_ROUNDS + rounds):
        random.shuffle(order)
        events = {name: jobs[name]()[0] for name in order}
        torch.cuda.synchronize()
        if number >= WARM_ROUNDS:
            for name, (_, before, after) in events.items():
                samples[name].append(before.elapsed_time(after))
    return samples


def ratios(samples: Samples, library: str) -> dict[str, float]:
    """How many times as fast as the library each job is; above 1 it is faster."""
    return {
        name: median(theirs / ours for ours, theirs in zip(times, samples[library], strict=True))
        for name, times in samples.items()
    }


def table(samples: dict[str, Samples], library: str) -> str:
    """One line for each kernel: ratios by configuration, geometric means of full and causal."""
    of = {name: ratios(times, library) for name, times in samples.items()}
    kernels = list(next(iter(samples.values())))
    head = f"{'of ' + library:32s}" + "".join(f"{name:>12s}" for name in of)
    lines = [head + f"{'full':>10s}{'causal':>10s}"]
    for kernel in kernels:
        line = f"{kernel:32s}" + "".join(f"{r[kernel]:12.4f}" for r in of.values())
        for mask in ("full", "causal"):
            values = [log(r[kernel]) for name, r in of.items() if name.startswith(mask)]
            line += f"{exp(fmean(values)):10.4f}" if values else f"{'-':>10s}"
        lines.append(line)
    return "\n".join(lines)


def _within(found: torch.Tensor, own: torch.Tensor) -> bool:
    return bool(((found - own).abs() <= CLOSE * own.abs().clamp(min=1.0)).all())


def _close(task: CudaTask, configuration: Configuration, staged: Staged) -> bool:
    expected = task.own(configuration, staged.buffers.inputs)
    staged.whole()
    torch.cuda.synchronize()
    return all(
        _within(staged.buffers.outputs[name].float(), own.float()) for name, own in expected.items()
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Race what was asked for; the exit status is 1 where there is no GPU."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folders", nargs="*", type=Path, help="of candidates")
    parser.add_argument("--ablations", action="store_true")
    parser.add_argument("--task", default="mha_forward", help="gqa_forward, attention_backward, …")
    parser.add_argument("--configuration", action="append", help="all of the task if left out")
    parser.add_argument("--rounds", type=int, default=17)
    parser.add_argument("--out", type=Path, help="folder for race.json")
    options = parser.parse_args(arguments)
    candidates = {
        folder.name: read_candidate(folder if folder.is_dir() else FOLDER / folder)
        for folder in options.folders
    }
    if options.ablations:
        candidates |= ablations()
    if not candidates:
        parser.error("name folders of candidates, or --ablations")
    if not torch.cuda.is_available():
        print("this needs an NVIDIA GPU", file=sys.stderr)
        return 1
    task = find_tasks().get(options.task)
    assert isinstance(task, CudaTask), f"{options.task} is not a CUDA task"
    with ThreadPoolExecutor(AT_ONCE) as pool:  # each compiler is a process of its own
        futures = {name: pool.submit(compile_candidate, task, c) for name, c in candidates.items()}
    compiled = {name: future.result() for name, future in futures.items()}
    samples: dict[str, Samples] = {}
    for configuration in task.configurations:
        if options.configuration and configuration.name not in options.configuration:
            continue
        staged = {name: Staged(task, c, configuration) for name, c in compiled.items()}
        for name in [n for n, s in staged.items() if not _close(task, configuration, s)]:
            print(f"{name} is wrong on {configuration.name}", flush=True)
            staged.pop(name).free()
            del compiled[name]
        jobs = {**{n: s.whole for n, s in staged.items()}, **baselines(task, configuration)}
        samples[configuration.name] = race(jobs, options.rounds)
        for one in staged.values():
            one.free()
    right = set.intersection(*(set(s) for s in samples.values()))
    samples = {c: {n: t for n, t in s.items() if n in right} for c, s in samples.items()}
    print(table(samples, "fa3" if "fa3" in right else task.reference_baseline))
    if options.out is not None:
        options.out.mkdir(parents=True, exist_ok=True)
        text = json.dumps(samples, indent=1) + "\n"
        (options.out / "race.json").write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
