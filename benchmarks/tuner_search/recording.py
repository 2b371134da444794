"""Measures points of a kernel's tunables once, and keeps what was measured.

A point is compiled as the harness compiles a C++ candidate and called in this process. Its score is
the geometric mean, over the sizes of the problem, of GFLOP/s by the thread's own processor time,
the shortest of a few calls: on a shared machine that is steadier than the clock on the wall, though
neighbours still slow caches and memory. Calls of the harness with its checks are not replaced by
this: `avo evaluate` confirms what a search finds.
"""

from __future__ import annotations

import ctypes
import json
import math
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from avo_tui.domain import tunables as tn
from avo_tui.domain.candidate import Candidate

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
FLAGS = ("-O3", "-march=native", "-fopenmp", "-std=gnu++17", "-fPIC", "-shared", "-w")
LONG = 0.15
"""Seconds; a call that takes longer is made once."""
CALLS = 7
Point = Mapping[str, str]


class SpentError(Exception):
    """A search has measured as many points as it may."""


@dataclass(frozen=True)
class Size:
    """One call: its arguments, the expected output, operations."""

    arguments: tuple[Any, ...]
    output: torch.Tensor
    expected: torch.Tensor
    flops: float
    held: tuple[torch.Tensor, ...]
    """The tensors whose addresses the arguments have."""


@dataclass(frozen=True)
class Problem:
    """A kernel with tunables, and how it is called."""

    name: str
    source: Path
    entry: str
    header: str
    """Text of `task.h`."""
    sizes: Callable[[], Sequence[Size]]
    idle: Callable[[Point], frozenset[str]]
    """Tunables that make no difference at a point: they stand in code that is not reached."""

    @property
    def base(self) -> Candidate:
        """The kernel as it starts."""
        return Candidate(files={self.source.name: self.source.read_text(encoding="utf-8")})

    @property
    def tunables(self) -> tuple[tn.Tunable, ...]:
        """What may be varied."""
        return tn.parse(self.base)


class Record:
    """What was measured of a problem: one line of JSON a point."""

    def __init__(self, problem: Problem, live: bool) -> None:
        """`live`: measure what the record does not have; otherwise it is predicted."""
        self.problem, self._live = problem, live
        self._forest: Any = None
        self.path = HERE / f"{problem.name}.jsonl"
        self._start = tn.point(problem.tunables)
        self._names = [t.name for t in problem.tunables]
        self.scores: dict[tuple[str, ...], float] = {}
        self._sizes: Sequence[Size] = ()
        self._headers: tempfile.TemporaryDirectory[str] | None = None
        if self.path.exists():
            for line in self.path.read_text(encoding="utf-8").splitlines():
                row = json.loads(line)
                self.scores[tuple(row["point"])] = row["score"]

    def key(self, point: Point) -> tuple[str, ...]:
        """The values in order; tunables without effect at this point as the kernel starts."""
        idle = self.problem.idle(point)
        return tuple(self._start[n] if n in idle else point[n] for n in self._names)

    def score(self, point: Point) -> float:
        """GFLOP/s at a point: measured, or predicted; 0 where it does not compile or is wrong."""
        key = self.key(point)
        if key not in self.scores:
            if not self._live:
                return self._predicted(key)
            self.scores[key] = score = self._measure(dict(zip(self._names, key, strict=True)))
            with self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps({"point": key, "score": round(score, 4)}) + "\n")
        return self.scores[key]

    def _predicted(self, key: tuple[str, ...]) -> float:
        if self._forest is None:
            keys = [k for k, score in self.scores.items() if score > 0]
            values = [math.log(self.scores[k]) for k in keys]
            self._forest = _forest().fit([self._features(k) for k in keys], values)
        return float(math.exp(self._forest.predict([self._features(key)])[0]))

    def _features(self, key: tuple[str, ...]) -> list[float]:
        """Ordered values as logarithms; others as one feature for each value."""
        features: list[float] = []
        for tunable, token in zip(self.problem.tunables, key, strict=True):
            if tunable.ordered:
                features.append(math.log2(float(token) + 1.0))
            else:
                features += [float(choice.token == token) for choice in tunable.choices]
        return features

    def error(self) -> float:
        """Median relative error of predictions of measured points that were held out, ten times."""
        from sklearn.model_selection import cross_val_predict

        keys = [k for k, score in self.scores.items() if score > 0]
        values = [math.log(self.scores[k]) for k in keys]
        told = cross_val_predict(_forest(), [self._features(k) for k in keys], values, cv=10)
        errors = sorted(
            abs(math.exp(a - b) - 1) for a, b in zip(told.tolist(), values, strict=True)
        )
        return errors[len(errors) // 2]

    def _measure(self, point: Point) -> float:
        torch.set_num_threads(1)
        self._sizes = self._sizes or self.problem.sizes()
        self._headers = self._headers or _headers(self.problem)
        (text,) = tn.apply(self.problem.base, point).files.values()
        with tempfile.TemporaryDirectory(prefix="avo-point-") as name:
            folder = Path(name)
            source, library = folder / "kernel.cpp", folder / "kernel.so"
            source.write_text(text)
            headers = ("-I", self._headers.name, "-include", "headers.h")
            command = ["g++", *FLAGS, *headers, str(source), "-o", str(library)]
            if subprocess.run(command, check=False, capture_output=True).returncode:
                return 0.0
            loaded = ctypes.CDLL(str(library))
            kernel = getattr(loaded, self.problem.entry)
            logs = []
            for size in self._sizes:
                best = _time(kernel, size)
                error = (size.output - size.expected).abs().max().item()
                if not error <= 1e-3:
                    return 0.0
                logs.append(math.log(size.flops / best / 1e9))
            _close(loaded)
        return math.exp(math.fsum(logs) / len(logs))


def _forest() -> Any:
    from sklearn.ensemble import ExtraTreesRegressor

    return ExtraTreesRegressor(n_estimators=30, random_state=0)


def _time(kernel: Callable[..., Any], size: Size) -> float:
    best = math.inf
    for _ in range(CALLS):
        begin = time.thread_time()
        kernel(*size.arguments)
        best = min(best, time.thread_time() - begin)
        if best > LONG:
            break
    return best


def _headers(problem: Problem) -> tempfile.TemporaryDirectory[str]:
    """The kernel's headers, compiled once: reading them is half of compiling a point."""
    folder = tempfile.TemporaryDirectory(prefix="avo-headers-")
    (Path(folder.name) / "task.h").write_text(problem.header)
    lines = problem.source.read_text(encoding="utf-8").splitlines()
    header = Path(folder.name) / "headers.h"
    header.write_text("".join(f"{line}\n" for line in lines if line.startswith("#include")))
    subprocess.run(["g++", *FLAGS, "-x", "c++-header", str(header)], check=True)
    return folder


def _close(library: ctypes.CDLL) -> None:
    ctypes.CDLL(None).dlclose(ctypes.c_void_p(library._handle))


# -- attention


def _attention_sizes() -> list[Size]:
    sizes = []
    for heads, sequence, causal in ((4, 256, False), (4, 256, True), (2, 1024, False)):
        generator = torch.Generator().manual_seed(sequence)
        q, k, v = (torch.randn(1, heads, sequence, 64, generator=generator) for _ in range(3))
        out = torch.zeros_like(q)
        expected = torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=causal)
        pointers = [ctypes.c_void_p(t.data_ptr()) for t in (q, k, v, out)]
        numbers = [ctypes.c_int64(n) for n in (1, heads, sequence)]
        flops = 4.0 * heads * sequence * sequence * 64 * (0.5 if causal else 1.0)
        arguments = (*pointers, *numbers, ctypes.c_bool(causal))
        sizes.append(Size(arguments, out, expected, flops, (q, k, v, out)))
    return sizes


def _attention_idle(point: Point) -> frozenset[str]:
    """As the source reads: which constants stand in code that these values leave out."""
    if point["ALGORITHM"] == "0":
        return frozenset(
            ("TILE_Q", "TILE_K", "ROWS", "COLUMNS_S", "COLUMNS_O", "UNROLL", "PACK_K", "SCALE_Q")
        ) | {"LAZY_RESCALE"}
    idle = set()
    if point["PACK_K"] == "0":
        idle.add("COLUMNS_S")
    if point["ALGORITHM"] == "1":
        idle.add("LAZY_RESCALE")  # there is one step, so nothing is rescaled
    return frozenset(idle)


ATTENTION = Problem(
    "attention_cpu",
    ROOT / "kernels" / "attention_cpu" / "seed" / "attention.cpp",
    "attention",
    '#include <cstdint>\nextern "C" void attention(const float*, const float*, const float*, '
    "float*, int64_t, int64_t, int64_t, bool);\n",
    _attention_sizes,
    _attention_idle,
)

# -- matmul


def _matmul_sizes() -> list[Size]:
    sizes = []
    for m, k, n in ((384, 384, 384), (101, 515, 259)):
        generator = torch.Generator().manual_seed(m)
        a, b = (torch.randn(*shape, generator=generator) for shape in ((m, k), (k, n)))
        out, expected = torch.zeros(m, n), a @ b
        pointers = [ctypes.c_void_p(t.data_ptr()) for t in (a, b, out)]
        arguments = (*pointers, *(ctypes.c_int64(n) for n in (m, k, n)))
        sizes.append(Size(arguments, out, expected, 2.0 * m * k * n, (a, b, out)))
    return sizes


def _matmul_idle(point: Point) -> frozenset[str]:
    if point["BLOCKED"] == "0":
        return frozenset(point) - {"BLOCKED"}
    return frozenset()


MATMUL = Problem("matmul", HERE / "matmul.cpp", "kernel", "", _matmul_sizes, _matmul_idle)

PROBLEMS = {problem.name: problem for problem in (ATTENTION, MATMUL)}
