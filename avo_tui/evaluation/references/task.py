"""Turns a derived reference into a task: what `task.py` of an adopted folder subclasses."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from avo_tui.domain.candidate import Candidate
from avo_tui.domain.task import Configuration, Language
from avo_tui.evaluation.backends.cuda.launch_plan import TensorSpec
from avo_tui.evaluation.backends.cuda.task import CudaTask
from avo_tui.evaluation.measurement import dtypes
from avo_tui.evaluation.measurement.cases import Perturbation
from avo_tui.evaluation.references.deriving import looked
from avo_tui.evaluation.references.describing import (
    cpp_description,
    cuda_description,
    cuda_skeleton,
    reference_text,
    skeleton,
)
from avo_tui.evaluation.references.distributions import DISTRIBUTIONS, distribute, vary_constants
from avo_tui.evaluation.references.files import COMPANIONS, Companions
from avo_tui.evaluation.references.fitting import all_but_last, changed_last_slice, telling_case
from avo_tui.evaluation.references.formats import read
from avo_tui.evaluation.references.hidden_sizes import with_drawn_sizes
from avo_tui.evaluation.references.source import Reference, ReferenceSample, in_double
from avo_tui.evaluation.references.spec import ABOVE, FILE, SOURCE, Case, ReferenceSpec
from avo_tui.evaluation.task import Argument, CheckCase, PreparedBaseline, Task, Tolerance

if TYPE_CHECKING:
    from avo_tui.evaluation.task import Baseline, Tensors

EAGER, COMPILED = "torch", "compiled"
ON_THE_DEVICE = 1 << 30
"""Bytes of a configuration from which a GPU task draws its inputs on the GPU.

Drawing them on the processor takes that much host memory in each of an evaluation's processes."""

PRECISION = {
    "float64": 1e-12, "float32": 1e-5, "float16": 1e-3, "bfloat16": 8e-3,
    "complex128": 1e-12, "complex64": 1e-5,
}  # fmt: skip
"""Element type of an output → error that a good kernel stays below, relative to the largest value.
An 8-bit float, which is not named, has 0.05; whole numbers are compared exactly."""


CAREFUL = ("lone_row", "offset")
"""Kinds of inputs of every scored size: a softmax without its maximum and a variance in one pass
are quicker, and pass on plain noise."""
_ODD = "other sizes than those that are scored"
_ABOVE = "sizes above those that are scored"


def configuration_of(case: Case) -> Configuration:
    return Configuration(name=case.name, parameters=dict(case.sizes))


def reference_cases(spec: ReferenceSpec) -> tuple[CheckCase, ...]:
    """Odd sizes first, hidden; then what is scored, with every distribution."""
    perturbed = _perturbed_case(spec)
    kinds = spec.distributions
    above = [case for case in spec.hidden if case.name.startswith(ABOVE)]
    odd = [case for case in spec.hidden if case not in above]
    cases = [
        CheckCase(
            configuration_of(case),
            kinds[index % len(kinds)],
            hidden=True,
            category=_ODD if index % len(kinds) == 0 else DISTRIBUTIONS[kinds[index % len(kinds)]],
            repeat=index == 0,
            perturb=case.name == perturbed,
        )
        for index, case in enumerate(sorted(odd, key=lambda c: c.flops))
    ]
    cases += [
        CheckCase(
            configuration_of(case),
            "normal",
            hidden=True,
            category=_ABOVE,
            perturb=case.name == perturbed,
        )
        for case in above
    ]
    smallest = min(spec.scored, key=lambda case: case.flops)
    cases += [
        CheckCase(
            configuration_of(smallest),
            kind,
            hidden=kind != "normal",
            category=DISTRIBUTIONS[kind] if kind != "normal" else "",
        )
        for kind in kinds
    ]
    cases += [
        CheckCase(configuration_of(case), kind, hidden=True, category=DISTRIBUTIONS[kind])
        for case in spec.scored
        if case is not smallest
        for kind in CAREFUL
        if kind in kinds
    ]
    cases += [
        CheckCase(configuration_of(case), "normal", repeat=True, perturb=case.name == perturbed)
        for case in spec.scored
    ]
    return tuple(cases)


def _perturbed_case(spec: ReferenceSpec) -> str:
    """Name of the cheapest case with two slices along the independent axis; hidden first."""
    if spec.independent is None:
        return ""
    groups = [sorted(group, key=lambda c: c.flops) for group in (spec.hidden, spec.scored)]
    case = telling_case(groups[0] + groups[1], spec.independent.axis)
    return case.name if case is not None else ""


class ReferenceTask(Task):
    """What tasks of both languages have in common. A subclass sets `here`."""

    here: ClassVar[Path]
    """The folder with `reference.json` and `reference.py`."""
    spec: ClassVar[ReferenceSpec]
    has_seed: ClassVar[bool] = False
    nominal_work: ClassVar[bool] = True
    reference_baseline: ClassVar[str] = EAGER

    def __init_subclass__(cls, **more: Any) -> None:
        super().__init_subclass__(**more)
        if "here" not in vars(cls):
            return
        cls.spec = spec = ReferenceSpec.read(cls.here)
        cls.name, cls.title, cls.language = spec.name, spec.title, spec.language
        cls.baseline_names = (EAGER, COMPILED) if spec.compiled else (EAGER,)
        cls.timed = spec.distributions[:2]
        cls.has_seed = (cls.here / "seed").is_dir()
        cls.jumping, cls.families = spec.jumping, spec.families
        cls.all_depends_on_all = spec.independent is None
        products = sum(c.flops for c in spec.scored) > 8 * sum(c.bytes for c in spec.scored) / 4
        scale = "T" if spec.language == "cuda" else "G"
        cls.unit = f"{scale}FLOP/s" if products else "GB/s"
        cls.tolerances = {
            t.name: Tolerance(
                factor=4.0,
                floor=4 * PRECISION.get(t.dtype, 0.05),
                rms_factor=3.0,
                rms_floor=PRECISION.get(t.dtype, 0.05),
                per_row=False,
            )
            for t in spec.of_role("output")
        }

    @cached_property
    def loaded(self) -> Reference:
        """The reference itself; imports torch and runs its files."""
        path = self.folder / SOURCE
        text, mode = path.read_text(encoding="utf-8"), self.spec.evaluation_mode
        return read(text, str(path), mode, Companions.read(self.folder))

    def own_files(self) -> tuple[Path, ...]:
        """The reference and what was derived from it."""
        files = (self.folder / SOURCE, self.folder / FILE, self.folder / COMPANIONS)
        return tuple(file for file in files if file.exists() or file.name != COMPANIONS)

    @property
    def configurations(self) -> tuple[Configuration, ...]:
        """The sizes as given, and half of them."""
        return tuple(configuration_of(case) for case in self.spec.scored)

    def perturb(
        self, configuration: Configuration, inputs: Tensors, seed: int
    ) -> Perturbation | None:
        """The last slice along the independent axis is drawn anew; the other slices must stay."""
        slices = self.spec.independent
        if slices is None:
            return None
        other = self.make_inputs(configuration, seed, "normal")
        device = {name: other[name].to(inputs[name].device) for name in slices.inputs}
        return Perturbation(
            inputs=changed_last_slice(slices, inputs, device),
            unaffected=all_but_last(slices, dict(self.case(configuration).shapes)),
            meaning=f"a slice along {slices.axis} depends on another slice of the inputs",
        )

    def check_cases(self) -> tuple[CheckCase, ...]:
        """Odd sizes first, hidden; then what is scored, with every distribution."""
        return reference_cases(with_drawn_sizes(self.spec))

    def case(self, configuration: Configuration) -> Case:
        """The reference at a configuration's sizes; looked at here where they are not on record.

        Raises EvaluatorError where it does not run at them.
        """
        known = self.spec.case(configuration.name)
        if known is not None and known.sizes == configuration.parameters:
            return known
        key = configuration.model_dump_json()
        if key not in self._looked_at:
            hidden = known is not None
            self._looked_at[key] = looked(self.loaded, self.spec.overrides, configuration, hidden)
        return self._looked_at[key]

    @cached_property
    def _looked_at(self) -> dict[str, Case]:
        return {}

    def _sizes(self, configuration: Configuration) -> dict[str, int]:
        return {**self.spec.overrides, **self.case(configuration).sizes}

    def make_inputs(self, configuration: Configuration, seed: int, distribution: str) -> Tensors:
        """Inputs and weights as the reference draws them, then of that distribution.

        Weights that are constant are varied: see `vary_constants`.
        """
        return self.drawn(configuration, seed, distribution, "cpu")

    def drawn(
        self, configuration: Configuration, seed: int, distribution: str, device: str
    ) -> Tensors:
        drawn = self.loaded.draw(self._sizes(configuration), seed, device)
        inputs = distribute(drawn.inputs, distribution, self.spec.numbers)
        every = {**inputs, **vary_constants(drawn.weights, seed)}
        return {t.name: every[t.name].detach() for t in self.spec.of_role("input", "weight")}

    def outputs(self, configuration: Configuration) -> dict[str, tuple[tuple[int, ...], str]]:
        shapes = self.case(configuration).shapes
        return {t.name: (shapes[t.name], t.dtype) for t in self.spec.of_role("output")}

    def reference(self, configuration: Configuration, inputs: Tensors) -> Tensors:
        """In f64 where the reference allows it."""
        import torch

        with torch.no_grad():
            return in_double(self.loaded, self._sizes(configuration), 0, inputs)

    def baselines(self) -> Mapping[str, Baseline]:
        """The reference as it is, and compiled by torch where the task says so."""
        present: dict[str, Baseline] = {EAGER: _Eager(self, compiled=False)}
        if self.spec.compiled:
            present[COMPILED] = _Eager(self, compiled=True)
        return present

    def flops(self, configuration: Configuration) -> float:
        """As counted when the reference was derived."""
        return self.case(configuration).flops

    def bytes_moved(self, configuration: Configuration) -> float:
        """All inputs and outputs, each once."""
        return self.case(configuration).bytes


class CppReference(ReferenceTask):
    entry: ClassVar[str] = "kernel"

    def __init_subclass__(cls, **more: Any) -> None:
        """Arguments: inputs, weights, outputs, then the sizes that vary."""
        super().__init_subclass__(**more)
        if "here" not in vars(cls):
            return
        roles = {"input": "input", "weight": "input", "output": "output"}
        cls.arguments = (
            *(Argument(t.name, roles[t.role], t.dtype) for t in cls.spec.tensors),  # type: ignore[arg-type]
            *(Argument(axis, "size") for axis in cls.spec.axes),
        )
        cls.memory_bytes = (768 << 20) + 4 * int(max(c.bytes for c in cls.spec.scored))
        cls.description = cpp_description(cls.spec, cls.entry, reference_text(cls.here))

    def seed(self) -> Candidate:
        if self.has_seed:
            return super().seed()
        return Candidate(files={"kernel.cpp": skeleton(self.spec, self.entry)})


class CudaReference(ReferenceTask, CudaTask):
    language: ClassVar[Language] = "cuda"
    most_launches: ClassVar[int] = 64

    def __init_subclass__(cls, **more: Any) -> None:
        """Its description has the manual of the launch manifest."""
        super().__init_subclass__(**more)
        if "here" in vars(cls):
            cls.description = cuda_description(cls.spec, reference_text(cls.here))

    def tensors(self, configuration: Configuration) -> tuple[TensorSpec, ...]:
        shapes = self.case(configuration).shapes
        return tuple(
            TensorSpec(
                name=t.name,
                dtype=dtypes.dtype(t.dtype).short,
                shape=shapes[t.name],
                output=t.role == "output",
                weight=t.role == "weight",
            )
            for t in self.spec.tensors
        )

    def names(self, configuration: Configuration) -> dict[str, int | float]:
        """The axes, in capitals, and the number of elements of each tensor as N_NAME."""
        sizes = {axis.upper(): n for axis, n in self.case(configuration).sizes.items()}
        counts = {f"N_{t.name.upper()}": t.elements for t in self.tensors(configuration)}
        return {**counts, **sizes}

    def fill(
        self, configuration: Configuration, seed: int, distribution: str, inputs: Tensors
    ) -> None:
        """As the reference draws them: on the processor, or on the device where they are large.

        Where is settled by the configuration's bytes alone, so that every process of an evaluation
        fills the same numbers. `inputs` are written in place, on the device they are on.
        """
        large = self.case(configuration).bytes > ON_THE_DEVICE
        device = str(next(iter(inputs.values())).device) if large else "cpu"
        drawn = self.drawn(configuration, seed, distribution, device)
        for name, tensor in inputs.items():
            tensor.copy_(drawn.pop(name))

    def make_inputs(self, configuration: Configuration, seed: int, distribution: str) -> Tensors:
        """On the GPU, or on the processor where there is none."""
        return CudaTask.make_inputs(self, configuration, seed, distribution)

    def own(self, configuration: Configuration, inputs: Tensors) -> Tensors:
        """The reference in its own dtypes."""
        return Task.own(self, configuration, inputs)

    def seed(self) -> Candidate:
        if self.has_seed:
            return Task.seed(self)
        return Candidate(files=cuda_skeleton(self.spec))


class _Eager(PreparedBaseline):
    """The reference as torch runs it; its weights lie in the module before it is timed."""

    def __init__(self, task: ReferenceTask, compiled: bool) -> None:
        self._task, self._compiled = task, compiled
        self._made: dict[tuple[str, str], tuple[ReferenceSample, Callable[[Tensors], Tensors]]] = {}

    def prepare(self, configuration: Configuration, inputs: Tensors) -> None:
        """Makes the module, compiles it where that is asked for, and puts the weights into it."""
        self._prepared(configuration, inputs)

    def _prepared(
        self, configuration: Configuration, inputs: Tensors
    ) -> tuple[Tensors, Callable[[Tensors], Tensors]]:
        """The inputs without the weights, and what computes the outputs from them."""
        key = (configuration.name, str(next(iter(inputs.values())).device))
        if key not in self._made:
            import torch

            drawn = self._task.loaded.draw(self._task._sizes(configuration), 0, key[1])
            run = torch.compile(drawn.outputs) if self._compiled else drawn.outputs
            self._made[key] = (drawn, run)
        drawn, run = self._made[key]
        return drawn.placed(inputs), run

    def __call__(self, configuration: Configuration, inputs: Tensors) -> Tensors:
        import torch

        with torch.no_grad():
            given, run = self._prepared(configuration, inputs)
            outputs = run(given)
        return {name: tensor.contiguous() for name, tensor in outputs.items()}
