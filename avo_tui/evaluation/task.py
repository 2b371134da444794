"""What a task folder defines: the base class of every `kernels/<task>/task.py`.

Importing this module does not import torch; methods that make or judge tensors may.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from avo_tui.domain.candidate import Candidate
from avo_tui.domain.task import Configuration, Language, TaskInfo
from avo_tui.evaluation.measurement import dtypes
from avo_tui.evaluation.measurement.cases import CheckCase, Perturbation
from avo_tui.evaluation.measurement.judge import Tolerance
from avo_tui.evaluation.measurement.metric import Metric, Work, metric_of

__all__ = ["Argument", "CheckCase", "Perturbation", "Task", "Tolerance"]

if TYPE_CHECKING:
    import torch

    Tensors = dict[str, torch.Tensor]
    """Name of an input or output → tensor."""
    Baseline = Callable[[Configuration, Tensors], Tensors]
    """Computes the outputs from the inputs; one call of it is timed."""


class PreparedBaseline(ABC):
    """A baseline with preparation work that is done once per set of weights and not timed.

    Examples are conversion to a sparse format or capture of a CUDA graph: a library may prepare
    just as a candidate may in its prepare stages.
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
    dtype: str = "float32"
    """Element type of a tensor, by torch's name."""

    def __post_init__(self) -> None:
        dtypes.dtype(self.dtype)  # raises ValueError for one that is not known


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
    """What scores are shown in: operations (`TFLOP/s`), bytes (`GB/s`) or the task's own items
    (`Mtoken/s`) per second, or a time (`us`). See `measurement.metric`."""
    device: ClassVar[str] = "cpu"
    reference_baseline: ClassVar[str]
    baseline_names: ClassVar[tuple[str, ...]]
    """Every baseline that may be there; known without importing what they need."""
    function: ClassVar[str] = ""
    """What an exported package calls the kernel, such as `attention`; empty: what the entry point
    or else the task is called."""
    entry: ClassVar[str] = ""
    """C++: name of the `extern "C"` function."""
    arguments: ClassVar[tuple[Argument, ...]] = ()
    """C++: its parameters."""
    threads: ClassVar[int] = 1
    """C++: threads a candidate and its baseline may use."""
    call_seconds: ClassVar[float | None] = None
    """C++: processor time that one call may take before it counts as hung; None: 3 s and what
    0.1 GFLOP/s would take."""
    memory_bytes: ClassVar[int | None] = None
    """C++: resident memory that a candidate's process may take, its arguments included; None:
    768 MiB."""
    tolerance: ClassVar[Tolerance] = Tolerance()
    tolerances: ClassVar[Mapping[str, Tolerance]] = {}
    """Outputs that have a tolerance of their own."""
    max_error_ratio: ClassVar[float | None] = None
    """Largest root mean square error of a correct candidate, over the library's own; None: what the
    tolerances allow."""
    least_breadth: ClassVar[float | None] = None
    """See `TaskInfo.least_breadth`."""
    jumping: ClassVar[tuple[str, ...]] = ()
    """Floating-point outputs that jump where the reference chooses between nearly equal numbers:
    they are judged where it is sure. Of whole numbers and truth values that is always so."""
    families: ClassVar[tuple[str, ...]] = ()
    """Kinds of operations that were recognised in a reference, such as `softmax`."""
    axes: ClassVar[Mapping[str, tuple[str, ...]]] = {}
    """Output → names of its dimensions, such as ("batch", "row"), for what a person reads."""
    timed: ClassVar[tuple[str, ...]] = ("normal",)
    """Distributions of the inputs of timed calls; each is used in as many rounds as the others."""

    nominal_work: ClassVar[bool] = False
    """True where `flops` and `bytes_moved` are what a reference does and a correct kernel may do
    less: then they count throughput, but no time is refused because of them."""

    all_depends_on_all: ClassVar[bool] = False
    """True where every output may depend on every input, so that no case can be perturbed."""

    has_seed: ClassVar[bool] = True
    """False if there is no `seed/`, so that the first correct candidate starts the lineage."""

    seed_folder: ClassVar[str] = "seed"
    """The first candidate's, beside `task.py`; `seed-LANGUAGE` in a further language."""

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

    def own(self, configuration: Configuration, inputs: Tensors) -> Tensors:
        """The outputs of a good library in their dtypes; its error is the measure for
        candidates."""
        return self.baselines()[self.reference_baseline](configuration, inputs)

    def bytes_moved(self, configuration: Configuration) -> float:
        """Bytes that must cross the memory at least once; 0 where it does not matter."""
        return 0.0

    def items(self, configuration: Configuration) -> float:
        """How many of the items that `unit` counts one run does; 0 where it counts none."""
        return 0.0

    def work(self, configuration: Configuration) -> Work:
        return Work(
            self.flops(configuration),
            self.bytes_moved(configuration),
            self.items(configuration),
            self.nominal_work,
        )

    @property
    def metric(self) -> Metric:
        """How seconds become a score. Raises ValueError where `unit` is not known."""
        return metric_of(self.unit)

    def tolerance_of(self, output: str) -> Tolerance:
        tolerance = self.tolerances.get(output, self.tolerance)
        if self.max_error_ratio is None:
            return tolerance
        return replace(tolerance, max_error_ratio=self.max_error_ratio)

    def quick_cases(self) -> tuple[CheckCase, ...]:
        """The part of the check that is cheap: what is not scored, and at least one case that is
        not hidden, so that the author of a kernel is told what is wrong with it."""
        scored = {c.name for c in self.configurations}
        cases = self.check_cases()
        quick = [c for c in cases if c.configuration.name not in scored]
        if all(c.hidden for c in quick):
            shown = [c for c in cases if not c.hidden]
            shown = shown or [CheckCase(c, self.timed[0]) for c in self.configurations]
            quick.append(min(shown, key=lambda case: self.flops(case.configuration)))
        return tuple(quick)

    def perturb(
        self, configuration: Configuration, inputs: Tensors, seed: int
    ) -> Perturbation | None:
        """Changed inputs for cases with `perturb`; None where nothing can be left unaffected."""
        return None

    def own_files(self) -> tuple[Path, ...]:
        """Further files of the folder that decide what a score means, such as a reference."""
        return ()

    def seed(self) -> Candidate:
        """The files of `seed_folder`; of a task without one, a skeleton that computes nothing."""
        folder = self.folder / self.seed_folder
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
            seedless=not self.has_seed,
            device=self.device,
            least_breadth=self.least_breadth,
            work=self._work(),
        )

    def _work(self) -> dict[str, tuple[float, float]]:
        try:
            return {c.name: (self.flops(c), self.bytes_moved(c)) for c in self.configurations}
        except Exception:  # whatever a task of somebody's raises, its check tells
            return {}
