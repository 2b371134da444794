"""What a task folder defines: the base class of every `kernels/<task>/task.py`.

Importing this module does not import torch; methods that make or judge tensors may.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from avo_tui.domain.candidate import Candidate
from avo_tui.domain.task import Configuration, Language, TaskInfo

if TYPE_CHECKING:
    import torch

    Tensors = dict[str, torch.Tensor]
    """Name of an input or output → tensor."""
    Baseline = Callable[[Configuration, Tensors], Tensors]
    """Computes the outputs from the inputs; what is timed is one call of it."""


class PreparedBaseline(ABC):
    """A baseline with work of its own that is done once for each set of weights, untimed.

    Such as a conversion to a sparse format, or the capture of a CUDA graph: what a candidate may
    do in its prepare stages, a library may do too.
    """

    @abstractmethod
    def prepare(self, configuration: Configuration, inputs: Tensors) -> None:
        """Readies it for these inputs; they keep their addresses until the next call of this."""

    @abstractmethod
    def __call__(self, configuration: Configuration, inputs: Tensors) -> Tensors:
        """The outputs: what is timed."""


def prepare_baseline(baseline: Baseline, configuration: Configuration, inputs: Tensors) -> None:
    """Readies a baseline that has something to prepare; nothing is done for any other."""
    if isinstance(baseline, PreparedBaseline):
        baseline.prepare(configuration, inputs)


@dataclass(frozen=True)
class Argument:
    """One parameter of a C++ entry point, in order.

    `input` and `output` are pointers to contiguous tensors; `size` is an `int64_t`, `flag` a
    `bool` and `real` a `float`, each taken from the configuration's parameter of that name.
    """

    name: str
    kind: Literal["input", "output", "size", "flag", "real"]
    dtype: Literal["float32", "float64", "int32", "int64", "uint8"] = "float32"
    """Element type of a tensor."""


@dataclass(frozen=True)
class Tolerance:
    """How far an output may be from the high-precision reference.

    An element's error may be at most `factor` times the reference baseline's own largest error,
    plus `floor` times the scale; the root mean square likewise with `rms_factor` and `rms_floor`.
    With `per_row` the scale and the baseline's error are those of the row (the last dimension);
    otherwise of the whole tensor.
    """

    factor: float = 2.0
    floor: float = 1e-5
    rms_factor: float = 1.5
    rms_floor: float = 1e-6
    per_row: bool = True


@dataclass(frozen=True)
class CheckCase:
    """One run of the check: a configuration with inputs of one distribution."""

    configuration: Configuration
    distribution: str
    hidden: bool = False
    category: str = ""
    """What the case is about, safe to tell where its configuration is hidden."""
    repeat: bool = False
    """Run twice on the same inputs; the outputs must be bit-identical."""
    perturb: bool = False
    """Run again on inputs that `Task.perturb` changed where some outputs must not notice."""


@dataclass(frozen=True)
class Perturbation:
    """Inputs changed where part of the outputs must not depend on them."""

    inputs: Tensors
    unaffected: Tensors
    """Output → boolean mask, broadcastable to it: true where it must stay bit-identical."""
    meaning: str
    """Said when it fails, such as `rows before the change see keys of the future`."""


class Task(ABC):
    """A kernel problem: inputs, reference, configurations, baselines, seed.

    A subclass is stateless: one instance serves many evaluations. Layouts, shapes and dtypes of
    inputs and outputs are part of `description`, which the agent reads.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    language: ClassVar[Language]
    description: ClassVar[str]
    unit: ClassVar[str] = "GFLOP/s"
    device: ClassVar[str] = "cpu"
    reference_baseline: ClassVar[str]
    baseline_names: ClassVar[tuple[str, ...]]
    """Every baseline that may be there; known without importing what they need."""
    entry: ClassVar[str] = ""
    """C++: name of the `extern "C"` function."""
    arguments: ClassVar[tuple[Argument, ...]] = ()
    """C++: its parameters."""
    threads: ClassVar[int] = 1
    """C++: threads a candidate and its baseline may use."""
    tolerance: ClassVar[Tolerance] = Tolerance()

    folder: Path
    """Where the task was loaded from; set by the loader."""

    @property
    @abstractmethod
    def configurations(self) -> tuple[Configuration, ...]:
        """What the candidate is scored on."""

    @abstractmethod
    def check_cases(self) -> tuple[CheckCase, ...]:
        """What it is checked on, cheapest first; hidden configurations are among them."""

    @abstractmethod
    def make_inputs(self, configuration: Configuration, seed: int, distribution: str) -> Tensors:
        """Fresh inputs, a pure function of its arguments."""

    @abstractmethod
    def outputs(self, configuration: Configuration) -> dict[str, tuple[tuple[int, ...], str]]:
        """Output → (shape, dtype)."""

    @abstractmethod
    def reference(self, configuration: Configuration, inputs: Tensors) -> Tensors:
        """The outputs in high precision."""

    @abstractmethod
    def baselines(self) -> Mapping[str, Baseline]:
        """The library implementations that are present on this machine."""

    @abstractmethod
    def flops(self, configuration: Configuration) -> float:
        """Floating-point operations of one run: what throughput is computed from."""

    def bytes_moved(self, configuration: Configuration) -> float:
        """Bytes that must cross the memory at least once; 0 where it does not matter."""
        return 0.0

    def perturb(
        self, configuration: Configuration, inputs: Tensors, seed: int
    ) -> Perturbation | None:
        """Changed inputs for cases with `perturb`; None where nothing can be left unaffected."""
        return None

    def seed(self) -> Candidate:
        """The files of `seed/`."""
        folder = self.folder / "seed"
        files = sorted(p for p in folder.rglob("*") if p.is_file() and p.suffix != ".pyc")
        return Candidate(
            files={p.relative_to(folder).as_posix(): p.read_text(encoding="utf-8") for p in files}
        )

    def info(self) -> TaskInfo:
        """The public face: nothing hidden."""
        return TaskInfo(
            name=self.name,
            title=self.title,
            language=self.language,
            description=self.description,
            configurations=self.configurations,
            baselines=self.baseline_names,
            reference_baseline=self.reference_baseline,
            unit=self.unit,
            seed_files=tuple(self.seed().files),
            device=self.device,
        )
