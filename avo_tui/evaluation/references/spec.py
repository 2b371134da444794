"""What is known of a reference after it was derived: `reference.json` of the task's folder."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from avo_tui.domain.base import Value

FILE = "reference.json"
SOURCE = "reference.py"
ABOVE = "above-"
"""What the names of hidden cases begin with whose sizes are above the scored ones."""
FAR = f"{ABOVE}far-"
"""The same of those among them that are drawn from there up to the sizes of the case."""
Kind = Literal["module", "pair", "flashinfer"]
Sizes = dict[str, int]
"""Name of a constant of the reference → its value."""


class Tensor(Value):
    """An input, a weight or an output of the reference."""

    name: str
    """A name that C++ and Python allow."""
    dtype: str
    role: Literal["input", "weight", "output"]
    source: str
    """What the reference itself calls it: a parameter of `forward`, a key of the state."""


class Slices(Value):
    """An axis along which the last slice of the inputs reaches only the last of the outputs."""

    axis: str
    inputs: dict[str, int]
    """Input → its dimension that is the axis."""
    outputs: dict[str, int]
    """Output → its dimension that is the axis; every output is there."""


class Case(Value):
    """The reference at one choice of sizes."""

    name: str
    sizes: Sizes
    """Values of the axes."""
    shapes: dict[str, tuple[int, ...]]
    """Tensor → its shape."""
    flops: float
    """Operations of products, convolutions and attention by their formulas, one for each element
    that any other operation writes."""
    bytes: float
    """Of all inputs and outputs, each once."""
    pattern: bool = False
    """True of a hidden case whose sizes are drawn near these: see `hidden_sizes`."""


class ReferenceSpec(Value):
    """A reference, derived."""

    kind: Kind
    origin: str
    """The file that it was read from."""
    name: str
    title: str
    language: str
    evaluation_mode: bool = False
    """Whether the module runs as after `eval()`."""
    overrides: Sizes = Field(default_factory=dict)
    """Constants of the source that are replaced for every configuration."""
    axes: tuple[str, ...] = ()
    """Constants that differ between configurations; the kernel is given them."""
    tensors: tuple[Tensor, ...]
    scored: tuple[Case, ...]
    hidden: tuple[Case, ...] = ()
    """Cases of other sizes that the check alone uses."""
    distributions: tuple[str, ...] = ("normal",)
    """Of inputs, on which the reference gives finite results."""
    numbers: tuple[str, ...] = ()
    """Inputs of whole numbers that are plain numbers, which distributions change, too; all others
    are indices, lengths or flags."""
    independent: Slices | None = None
    """The axis whose last slice is changed by the check; None where no such axis was seen."""
    families: tuple[str, ...] = ()
    """Kinds of operations that it is made of: see `families`."""
    jumping: tuple[str, ...] = ()
    """Outputs that jump where the reference chooses between nearly equal numbers."""
    compiled: bool = False
    """Whether `torch.compile` is a second baseline."""
    modes: tuple[str, ...] = ()
    """What parts compute that compute something else in training than in evaluation."""
    remarks: tuple[str, ...] = ()
    """What was changed or left out, for the person."""

    def case(self, name: str) -> Case | None:
        """None where it has none of that name: sizes that a person asks for, or of a domain."""
        return next((case for case in (*self.scored, *self.hidden) if case.name == name), None)

    def of_role(self, *roles: str) -> tuple[Tensor, ...]:
        return tuple(tensor for tensor in self.tensors if tensor.role in roles)

    @classmethod
    def read(cls, folder: Path) -> ReferenceSpec:
        """The spec of a task's folder. Raises OSError, ValidationError."""
        return cls.model_validate_json((folder / FILE).read_text(encoding="utf-8"))
