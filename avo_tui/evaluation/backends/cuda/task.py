"""What a CUDA task adds to a task: tensors, names for expressions, inputs filled in place."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, ClassVar

from avo_tui.domain.task import Configuration, Language
from avo_tui.evaluation.backends.cuda.launch_plan import TensorSpec
from avo_tui.evaluation.measurement import dtypes
from avo_tui.evaluation.task import Task

if TYPE_CHECKING:
    from avo_tui.evaluation.task import Tensors


class CudaTask(Task):
    """A task whose candidates are device source with a launch manifest."""

    language: ClassVar[Language] = "cuda"
    device: ClassVar[str] = "cuda"
    unit: ClassVar[str] = "TFLOP/s"
    most_launches: ClassVar[int] = 8
    """Kernels that one run may launch, prepare stages apart; at most 64."""
    patience: ClassVar[float] = 10.0
    """Seconds beyond the expected time after which a run counts as hanging."""

    @abstractmethod
    def tensors(self, configuration: Configuration) -> tuple[TensorSpec, ...]:
        """The tensors a candidate is given, inputs and outputs, by the manifest's names."""

    @abstractmethod
    def names(self, configuration: Configuration) -> dict[str, int | float]:
        """The configuration's names for the manifest's expressions, upper-case."""

    @abstractmethod
    def fill(
        self, configuration: Configuration, seed: int, distribution: str, inputs: Tensors
    ) -> None:
        """Writes inputs in place: a pure function of the arguments, on the tensors' device."""

    @abstractmethod
    def own(self, configuration: Configuration, inputs: Tensors) -> Tensors:
        """The outputs as a good library computes them in the task's dtype: the measure of error."""

    def make_inputs(self, configuration: Configuration, seed: int, distribution: str) -> Tensors:
        """Fresh inputs on the GPU, or on the CPU where there is none."""
        import torch

        device = "cuda" if torch.cuda.is_available() else "cpu"
        inputs = {
            spec.name: torch.empty(spec.shape, dtype=dtypes.torch_dtype(spec.dtype), device=device)
            for spec in self.tensors(configuration)
            if not spec.output
        }
        self.fill(configuration, seed, distribution, inputs)
        return inputs

    def outputs(self, configuration: Configuration) -> dict[str, tuple[tuple[int, ...], str]]:
        """Output → (shape, dtype)."""
        return {
            t.name: (t.shape, dtypes.dtype(t.dtype).name)
            for t in self.tensors(configuration)
            if t.output
        }
