"""Kernels for one CPU thread as shared objects that are called in this process."""

from __future__ import annotations

import ctypes
import hashlib
import shutil
import subprocess
import tomllib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from avo_tui.domain import tunables
from avo_tui.domain.candidate import Candidate
from avo_tui.domain.task import Configuration
from avo_tui.evaluation.backends.cpp import driver, glue
from avo_tui.evaluation.task import Task
from benchmarks.verdict_margins.variants import Variant

if TYPE_CHECKING:
    import torch

    Tensors = dict[str, torch.Tensor]

ROOT = Path(__file__).resolve().parents[2]
CANDIDATES = ROOT / "tests" / "evaluation" / "candidates"
FAST = ("-ffast-math", "-fno-finite-math-only")
BUILDS: Mapping[str, tuple[str, ...]] = {
    "as it is": (),
    "no FMA": ("-ffp-contract=off",),
    "fast math": FAST,
    "fast math, SSE": ("-mno-avx2", "-mno-fma", *FAST),
}
"""Flags that a candidate may ask for, all of which change the order or number of roundings."""
BLOCKED = {"TILE_Q": "16", "VECTOR": "8", "ROWS": "4", "COLUMNS_S": "2", "PACK_K": "1"}
SEEDS: Mapping[str, dict[str, str]] = {
    "row by row": {},
    "row by row, 8 lanes": {"VECTOR": "8"},
    "row by row, 16 lanes": {"VECTOR": "16", "EXPONENTIAL": "2"},
    "all scores first": {**BLOCKED, "ALGORITHM": "1", "EXPONENTIAL": "1"},
    "online, tiles of 16": {**BLOCKED, "ALGORITHM": "2", "TILE_K": "16", "EXPONENTIAL": "1"},
    "online, tiles of 64": {**BLOCKED, "ALGORITHM": "2", "TILE_K": "64", "EXPONENTIAL": "2"},
    "online, queries scaled": {**BLOCKED, "ALGORITHM": "2", "SCALE_Q": "1", "EXPONENTIAL": "3"},
    "online, lazy, tiles of 256": {
        **BLOCKED, "ALGORITHM": "2", "TILE_K": "256", "LAZY_RESCALE": "1", "EXPONENTIAL": "2",
    },
}  # fmt: skip
"""Points of the seed of attention_cpu, each another order of additions."""
REWRITTEN: Mapping[str, dict[str, str]] = {
    "exp2 of scores scaled once": {
        "SCALE": "0.18033688f", "EXP": "(x) std::exp2(x)",
    },
    "lazy rescaling by e^8": {
        "MAXIMUM": "(tile_max > m + 8 || first == 0 ? std::max(m, tile_max) : m)",
    },
    "times the reciprocal of the sum": {"RESULT": "(x) ((acc[d]) * (1.0f / sum))"},
}  # fmt: skip
"""Honest changes of the online softmax that the mutants are made of."""
PRECISION = {
    "sum_in_bf16", "sum_in_fp16", "weights_in_fp16", "scores_in_bf16", "small_weights_flushed",
    "output_in_bf16",
}  # fmt: skip
"""Mutants that lose precision; the others are plain mistakes."""


def build(task: Task, files: Mapping[str, str], more: tuple[str, ...], folder: Path) -> Path:
    """Compiles a candidate's files with the harness's flags and `more`; the shared object."""
    key = hashlib.sha256(repr((task.name, sorted(files.items()), more)).encode()).hexdigest()[:16]
    here = folder / key
    here.mkdir()
    for name, text in {**files, glue.HEADER: glue.header(task)}.items():
        (here / name).write_text(text, encoding="utf-8")
    options = (*driver.Driver().options(Candidate(files=dict(files))), *more)
    sources = [name for name in files if name.endswith(".cpp")]
    compiler = shutil.which("g++") or "clang++"
    for source in sources:
        command = [compiler, *options, "-c", source, "-o", f"{source}.o"]
        subprocess.run(command, cwd=here, check=True, capture_output=True)
    # Linked without the options: -ffast-math would bring in code that, when the library is loaded,
    # makes denormal numbers zero in the whole of this process.
    objects = [f"{source}.o" for source in sources]
    command = [compiler, "-shared", "-fopenmp", *objects, "-o", "kernel.so"]
    subprocess.run(command, cwd=here, check=True, capture_output=True)
    return here / "kernel.so"


def caller(task: Task, library: Path) -> Callable[[Configuration, Tensors], Tensors]:
    """Calls the entry point of a shared object on a configuration's tensors."""
    import torch

    entry = getattr(ctypes.CDLL(str(library)), task.entry)
    types: dict[str, Any] = {
        "size": ctypes.c_int64, "flag": ctypes.c_bool, "real": ctypes.c_float,
    }  # fmt: skip
    entry.argtypes = [types.get(a.kind, ctypes.c_void_p) for a in task.arguments]
    entry.restype = None

    def run(configuration: Configuration, inputs: Tensors) -> Tensors:
        outputs = {
            name: torch.empty(shape, dtype=getattr(torch, dtype))
            for name, (shape, dtype) in task.outputs(configuration).items()
        }
        tensors = {**inputs, **outputs}
        values = [
            tensors[a.name].data_ptr() if a.name in tensors else configuration.parameters[a.name]
            for a in task.arguments
        ]
        entry(*values)
        return outputs

    return run


def seeded(task: Task, name: str, build_name: str, folder: Path) -> Variant:
    """One of `SEEDS` in one of `BUILDS`.

    Fast math folds the polynomial's way of rounding to an integer away, so std::exp is used there.
    """
    seed = task.seed()
    values = {**tunables.point(tunables.parse(seed)), **SEEDS[name]}
    if "fast" in build_name:
        values["EXPONENTIAL"] = "0"
    library = build(task, tunables.apply(seed, values).files, BUILDS[build_name], folder)
    return Variant(f"{name}; {build_name}", True, caller(task, library))


def attention(task: Task, folder: Path) -> Iterator[Variant]:
    """Kernels of attention_cpu: points of its seed, rewritten ones, and wrong ones."""
    for name in SEEDS:
        for build_name in BUILDS:
            yield seeded(task, name, build_name, folder)
    mutants = tomllib.loads((CANDIDATES / "mutants" / "mutants.toml").read_text())
    for name, macros in REWRITTEN.items():
        for build_name, more in BUILDS.items():
            library = build(task, mutant(macros), more, folder)
            yield Variant(f"{name}; {build_name}", True, caller(task, library))
    for name, macros in mutants.items():
        if "equivalent" not in macros and name != "a_row_in_a_thousand_races":
            library = build(task, mutant(macros), (), folder)
            group = "precision" if name in PRECISION else "mistake"
            yield Variant(name, False, caller(task, library), group)
    for name in ("bf16", "rough_exponential", "skips_keys", "mean_of_values"):
        library = build(task, candidate(name), (), folder)
        yield Variant(name, False, caller(task, library), "precision")


def mutant(macros: Mapping[str, str]) -> dict[str, str]:
    """Files of the mutants' kernel with some of its macros."""
    lines = [
        f"#define {name}{text}" if text.startswith("(") and name in WITH_ARGUMENTS
        else f"#define {name} {text}"
        for name, text in macros.items()
    ]  # fmt: skip
    header = (CANDIDATES / "mutants" / "attention.h").read_text(encoding="utf-8")
    return {"kernel.cpp": "\n".join([*lines, '#include "attention.h"', ""]), "attention.h": header}


WITH_ARGUMENTS = {"ADD", "WEIGHT", "SCORE", "EXP", "RESULT"}


def candidate(name: str) -> dict[str, str]:
    """Files of one of the tests' candidates in C++."""
    cpp = CANDIDATES / "cpp"
    names = {"kernel.cpp": f"{name}.cpp", "honest.h": "honest.h", "raw.h": "raw.h"}
    return {to: (cpp / of).read_text(encoding="utf-8") for to, of in names.items()}


def reference(task: Task, kernel: Path, folder: Path) -> Iterator[Variant]:
    """A plain kernel for a task made of a reference, built in every way."""
    files = {"kernel.cpp": kernel.read_text(encoding="utf-8")}
    for name, more in BUILDS.items():
        yield Variant(name, True, caller(task, build(task, files, more, folder)))
