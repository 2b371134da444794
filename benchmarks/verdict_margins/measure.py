"""How far honest kernels stay inside each verdict's tolerance, and wrong ones outside.

    python benchmarks/verdict_margins/measure.py [SETTING...] [--draws 200] [--whole 10] [--under]

Settings: `attention_cpu`, each problem of `small_suite` (`softmax`, ...) as `avo task from` makes a
task of it, `template` (what `avo task new` writes), and `mha_forward`, `mha_forward_lse`,
`gqa_forward`, `sparse_rnn`, `dropout_attention`, `dropout_attention_fp8` and `attention_backward`,
whose kernels torch emulates on the processor: no GPU is needed. Each line is one way to compute: of
an honest one the largest error of all draws in units of the tolerance (above 1 it would have been
refused), of a wrong one the smallest over the draws of the largest error in a draw's cases (below 1
an evaluation would have let it pass).

Small cases are drawn `--draws` times; all cases, with the large ones, `--whole` times; wrong
kernels only there. `--under` repeats it with the instruction sets that the libraries can be held to
here, in processes of their own: a library adds otherwise on another machine, and the tolerance is
taken from the library. `--seconds` ends each setting in time: the table says of how many draws it
is. On a machine with 16 cores, all of it in about seven minutes:

    for s in attention_cpu mha_forward mha_forward_lse gqa_forward sparse_rnn dropout_attention \
        template $(cd benchmarks/small_suite/problems; ls *.py | sed "s/.py$//"); do echo $s; done |
        xargs -P 14 -I{} python benchmarks/verdict_margins/measure.py {} --under --seconds 130

Exits with 1 where an honest one passes 0.8 or a wrong one falls below 1.
"""

from __future__ import annotations

import argparse
import functools
import math
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
if str(ROOT) not in sys.path:  # the checkout's benchmarks are no installed package
    sys.path.insert(0, str(ROOT))

import torch  # noqa: E402

from avo_tui.evaluation.loading import load_task  # noqa: E402
from avo_tui.evaluation.references.adopting import adopt, wishes_for  # noqa: E402
from avo_tui.evaluation.sandbox.run import Sandbox  # noqa: E402
from avo_tui.evaluation.task import CheckCase, Task  # noqa: E402
from avo_tui.evaluation.tasks import find_tasks  # noqa: E402
from avo_tui.evaluation.templates import write_template  # noqa: E402
from benchmarks.verdict_margins import compiled, emulated  # noqa: E402
from benchmarks.verdict_margins.variants import Margin, Variant, measure  # noqa: E402

WELL_INSIDE = 0.8
"""Of the tolerance: what no honest kernel may come beyond."""
MACHINES: tuple[dict[str, str], ...] = (
    {},
    {"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2", "MKL_CBWR": "AVX2"},
    {"ATEN_CPU_CAPABILITY": "default", "ONEDNN_MAX_CPU_ISA": "SSE41", "MKL_CBWR": "COMPATIBLE"},
)
"""What holds torch's own loops, oneDNN and MKL to older processors."""
SMALL_SUITE = ROOT / "benchmarks" / "small_suite"


@dataclass(frozen=True)
class Setting:
    """A task, the ways to compute it, and which of its cases are run how often."""

    task: Task
    variants: tuple[Variant, ...]
    small: float
    """Operations up to which a case is small."""
    most: float = math.inf
    """Operations up to which a case is run at all."""

    def cases(self, most: float) -> list[CheckCase]:
        """The check's cases up to so many operations."""
        return [c for c in self.task.check_cases() if self.task.flops(c.configuration) <= most]


def attention_cpu(folder: Path) -> Setting:
    """The demonstration's task."""
    task = find_tasks().get("attention_cpu")
    return Setting(task, tuple(compiled.attention(task, folder)), small=7e7)


def emulate(name: str, folder: Path) -> Setting:
    """A GPU task whose kernels are emulated."""
    task = find_tasks().get(name)
    if name == "sparse_rnn":
        return Setting(task, tuple(emulated.recurrence()), small=1e9, most=1e10)
    if name == "attention_backward":
        return Setting(task, tuple(emulated.backward()), small=6e8, most=4e9)
    if name.startswith("dropout_attention"):
        kernels = tuple(emulated.dropped(fp8_operands=name.endswith("_fp8")))
        return Setting(task, kernels, small=2e9, most=1e10)
    variants = tuple(emulated.attention(lse=name == "mha_forward_lse"))
    return Setting(task, variants, small=6e8, most=8e9)


def derived(name: str, folder: Path) -> Setting:
    """A problem of the small suite, made a task."""
    file = SMALL_SUITE / "problems" / f"{name}.py"
    home = folder / "tasks" / name
    adopt(file, home, wishes_for(name, "cpp", str(file)), Sandbox(allow_weak=True))
    task = load_task(home)
    kernel = SMALL_SUITE / "kernels" / f"{name}.cpp"
    return Setting(task, tuple(compiled.reference(task, kernel, folder)), small=1e8)


def template(folder: Path) -> Setting:
    """What `avo task new` writes."""
    home = write_template("rms_norm", "cpp", folder / "tasks")
    task = load_task(home)
    (kernel,) = (home / "seed").glob("*.cpp")
    return Setting(task, tuple(compiled.reference(task, kernel, folder)), small=1e8)


def settings() -> dict[str, Callable[[Path], Setting]]:
    """Name → what makes it in a scratch folder."""
    known: dict[str, Callable[[Path], Setting]] = {"attention_cpu": attention_cpu}
    for name in emulated.TASKS:
        known[name] = functools.partial(emulate, name)
    known["template"] = template
    for path in sorted((SMALL_SUITE / "problems").glob("*.py")):
        known[path.stem] = functools.partial(derived, path.stem)
    return known


def margins_of(
    setting: Setting, draws: int, whole: int, seconds: float = math.inf
) -> dict[str, Margin]:
    """All of a setting's variants: all cases `whole` times, the small ones `draws` times.

    After `seconds` no further draw begins; all cases are drawn once in any case.
    """
    margins: dict[str, Margin] = {}
    every = setting.cases(setting.most)
    honest = [variant for variant in setting.variants if variant.honest]
    small = setting.cases(min(setting.small, setting.most))
    began = time.monotonic()
    for draw in range(max(draws, whole)):
        spent = time.monotonic() - began
        if draw and spent >= seconds:
            break
        # Half of the time is for all cases, half for many draws of the small ones.
        if draw == 0 or (draw < whole and spent < seconds / 2):
            measure(setting.task, every, setting.variants, range(draw, draw + 1), margins)
        else:
            measure(setting.task, small, honest, range(draw, draw + 1), margins)
    return margins


def table(name: str, margins: dict[str, Margin]) -> bool:
    """Prints one line for each variant, the closest first; false where one is too close."""
    well = True
    honest = [m for m in margins.values() if m.variant.honest]
    wrong = [m for m in margins.values() if not m.variant.honest]
    for margin in sorted(honest, key=lambda m: -m.decisive):
        close = margin.decisive > WELL_INSIDE
        well &= not close
        print(
            f"| {name} | {margin.variant.name} | at most {margin.decisive:.2f} of "
            f"{len(margin.worst)} | {margin.where} |{' **too close**' if close else ''}"
        )
    for margin in sorted(wrong, key=lambda m: m.decisive):
        well &= margin.kept
        print(
            f"| {name} | *{margin.variant.name}* | at least {margin.decisive:.3g} of "
            f"{len(margin.worst)} | |{'' if margin.kept else ' **passes**'}"
        )
    return well


def main() -> int:
    """Prints the table; 1 where a verdict is too close."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    known = settings()
    parser.add_argument("settings", nargs="*", help=", ".join(known))
    parser.add_argument("--draws", type=int, default=200)
    parser.add_argument("--whole", type=int, default=10)
    parser.add_argument("--under", action="store_true", help="other instruction sets, too")
    parser.add_argument("--seconds", type=float, default=math.inf, help="for each setting")
    given = parser.parse_args()
    if unknown := set(given.settings) - set(known):
        parser.error(f"there is no setting {', '.join(unknown)}")
    if given.under:
        return again(given.settings, given.draws, given.whole, given.seconds)
    os.environ["CUDA_VISIBLE_DEVICES"] = ""  # all is emulated on the processor, a GPU or not
    torch.set_num_threads(1)
    began, well = time.monotonic(), True
    held = {k: v for k, v in os.environ.items() if k in MACHINES[1]}
    print(f"{platform.processor() or platform.machine()}, torch {torch.__version__}, "
          f"{torch.backends.cpu.get_cpu_capability()}, {held or 'nothing held back'}")  # fmt: skip
    with tempfile.TemporaryDirectory() as scratch:
        for name in given.settings or known:
            with torch.no_grad():
                setting = known[name](Path(scratch))
                well &= table(name, margins_of(setting, given.draws, given.whole, given.seconds))
            sys.stdout.flush()
    print(f"{time.monotonic() - began:.0f} s")
    return 0 if well else 1


def again(names: list[str], draws: int, whole: int, seconds: float) -> int:
    """The same on each of `MACHINES`, in a process of its own."""
    command = [sys.executable, __file__, *names]
    command += [f"--draws={draws}", f"--whole={whole}", f"--seconds={seconds}"]
    return max(
        subprocess.run(command, env=os.environ | held, check=False).returncode for held in MACHINES
    )


if __name__ == "__main__":
    sys.exit(main())
