"""The launch manifest: how the harness launches a candidate's kernels. Data, never code.

`parse` reads `launch.toml` or `launch.json` and names the field, the line and the reason of
everything that is wrong. What depends on the configuration is resolved in `plan`.
"""

from __future__ import annotations

import re
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictInt, model_validator

from avo_tui.evaluation.measurement import dtypes

MAX_STAGES = 64
"""Largest number of launches in any manifest; a task allows fewer: `CudaTask.most_launches`."""
MAX_VARIANTS = 8
MAX_MACROS = 64
MAX_PARAMS = 64
MAX_WORKSPACE_BYTES = 1 << 30
"""Largest size of all workspaces of one plan together, in bytes."""
RESERVED_MACROS = frozenset({"AVO"})

Dtype = Literal["bf16", "f16", "f32", "f64", "i8", "u8", "i32", "u32", "i64", "u64"]
DTYPE_BYTES: dict[str, int] = {name: dtypes.dtype(name).bytes for name in dtypes.SHORT_NAMES}

Identifier = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,63}$")]
Entry = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_:<>, ]{0,199}$")]
"""A kernel's name: `extern "C"`, or an instance such as `attention<128, true>`."""
Expression = StrictInt | Annotated[str, Field(min_length=1, max_length=240)]
Condition = StrictBool | Annotated[str, Field(min_length=1, max_length=240)]
Real = StrictInt | float | Annotated[str, Field(min_length=1, max_length=240)]
Extent = Annotated[list[Expression], Field(min_length=1, max_length=3)]
MacroText = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.+\-]{1,64}$")]
Macros = Annotated[
    dict[Identifier, StrictBool | StrictInt | float | MacroText], Field(max_length=MAX_MACROS)
]


class _Table(BaseModel):
    """A table of the manifest; an unknown key is an error, so that no typo is ignored."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Param(_Table):
    """One kernel parameter, in the order of the kernel's signature. Exactly one kind."""

    tensor: Identifier | None = None
    """A device pointer to a tensor of the task, or to a workspace of that name."""
    workspace: Identifier | None = None
    """A device pointer to a workspace."""
    map: Identifier | None = None
    """A tensor map, by value (`const __grid_constant__ CUtensorMap`)."""
    i32: Expression | None = None
    u32: Expression | None = None
    i64: Expression | None = None
    u64: Expression | None = None
    f32: Real | None = None
    f64: Real | None = None
    offset: Expression = 0
    """Elements to add to the pointer of `tensor`, bytes to that of `workspace`."""

    @property
    def kind(self) -> str:
        """Which of the kinds is set."""
        return next(name for name in PARAM_KINDS if getattr(self, name) is not None)

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        kinds = [name for name in PARAM_KINDS if getattr(self, name) is not None]
        if len(kinds) != 1:
            have = ", ".join(kinds) or "none"
            raise ValueError(f"needs exactly one of {', '.join(PARAM_KINDS)}; it has {have}")
        if self.offset != 0 and kinds[0] not in {"tensor", "workspace"}:
            raise ValueError(f"offset goes with tensor or workspace, not with {kinds[0]}")
        return self


PARAM_KINDS = ("tensor", "workspace", "map", "i32", "u32", "i64", "u64", "f32", "f64")


class TensorMap(_Table):
    """A TMA descriptor. Dimensions are innermost first, as the hardware has them."""

    tensor: Identifier
    """A tensor of the task, or a workspace (then `dtype`, `dims` are needed)."""
    dtype: Dtype | None = None
    dims: list[Expression] | None = Field(default=None, min_length=1, max_length=5)
    """Elements per dimension; the tensor's own shape, reversed, where absent."""
    strides: list[Expression] | None = Field(default=None, max_length=4)
    """Elements from one index to the next, for every dimension but the innermost."""
    offset: Expression = 0
    """Elements from the tensor's start to the view's."""
    box: list[Expression] = Field(min_length=1, max_length=5)
    """Elements of one copy, per dimension."""
    element_strides: list[Expression] | None = Field(default=None, min_length=1, max_length=5)
    swizzle: Literal["none", "32B", "64B", "128B"] = "none"
    l2: Literal["none", "64B", "128B", "256B"] = "128B"
    """L2 promotion."""
    fill: Literal["zero", "nan"] = "zero"
    """What reads outside the dimensions give."""


class Workspace(_Table):
    """Device memory between stages. Poisoned before every run; `zero` happens inside the timing."""

    bytes: Expression
    zero: StrictBool = False
    persistent: StrictBool = False
    """Filled by the `prepare` stages from the task's weights; read-only for the timed stages."""

    @model_validator(mode="after")
    def _zero_or_persistent(self) -> Self:
        if self.zero and self.persistent:
            raise ValueError(
                "zero and persistent exclude each other: what the prepare stages wrote would be "
                "lost; zero it in a prepare stage, or make it two workspaces"
            )
        return self


class Kernel(_Table):
    """Properties of a kernel rather than of one of its launches."""

    params: list[Param] = Field(default_factory=list, max_length=MAX_PARAMS)


class Stage(_Table):
    """One launch. `grid` counts blocks, also with a cluster."""

    entry: Entry
    grid: Extent
    block: Extent
    cluster: Extent | None = None
    shared_memory: Expression = 0
    """Dynamic shared memory, bytes per block."""
    cooperative: StrictBool = False
    programmatic: StrictBool = False
    """Programmatic dependent launch: may start before the stage before it has ended."""
    params: list[Param] | None = Field(default=None, max_length=MAX_PARAMS)
    """Instead of the kernel's own."""


class Variant(_Table):
    """Replaces parts of the manifest for the configurations on which `when` is true."""

    when: Condition
    macros: Macros = Field(default_factory=dict)
    """Merged over the manifest's."""
    tensor_maps: dict[Identifier, TensorMap] = Field(default_factory=dict)
    """Merged over the manifest's, by name."""
    workspace: dict[Identifier, Workspace] = Field(default_factory=dict)
    prepare: list[Stage] | None = Field(default=None, max_length=MAX_STAGES)
    stages: list[Stage] | None = Field(default=None, min_length=1, max_length=MAX_STAGES)


class CompileOptions(_Table):
    """The compiler options a candidate may choose."""

    std: Literal["c++17", "c++20"] = "c++17"
    fast_math: StrictBool = False
    max_registers: Annotated[StrictInt, Field(ge=16, le=255)] | None = None
    optimize: Annotated[StrictInt, Field(ge=0, le=3)] = 3
    """ptxas optimisation level."""
    line_info: StrictBool = False
    device_by_default: StrictBool = False
    """Functions without an annotation are `__device__` (CuTe needs it)."""


class Manifest(_Table):
    """The whole of `launch.toml`."""

    source: str | None = None
    """The file to compile; may be absent where the candidate has exactly one `.cu`."""
    compile: CompileOptions = CompileOptions()
    macros: Macros = Field(default_factory=dict)
    """Defined for the compiler; those that are integers are names for expressions too."""
    kernels: dict[Entry, Kernel] = Field(default_factory=dict)
    tensor_maps: dict[Identifier, TensorMap] = Field(default_factory=dict)
    workspace: dict[Identifier, Workspace] = Field(default_factory=dict)
    prepare: list[Stage] = Field(default_factory=list, max_length=MAX_STAGES)
    """Launched once for each set of weights, outside the timing: they see nothing but weights."""
    stages: list[Stage] = Field(min_length=1, max_length=MAX_STAGES)
    variants: list[Variant] = Field(default_factory=list, max_length=MAX_VARIANTS)
    """The first whose condition holds is used; none of them need hold."""

    @model_validator(mode="after")
    def _macros_allowed(self) -> Self:
        for macros in [self.macros, *(v.macros for v in self.variants)]:
            for name in macros:
                if (
                    name in RESERVED_MACROS
                    or name.startswith("__")
                    or not re.match(r"[A-Z_]", name)
                ):
                    raise ValueError(
                        f"macro {name!r} must be an upper-case name that the harness does not use"
                    )
        return self

    def macros_of(self, variant: int | None) -> dict[str, bool | int | float | str]:
        """The macros in force in a variant (None: in none of them)."""
        own = {} if variant is None else self.variants[variant].macros
        return {**self.macros, **own}

    def stages_of(self, variant: int | None) -> tuple[list[Stage], str]:
        """The stages in force in a variant, and their path in the manifest."""
        if variant is not None:
            stages = self.variants[variant].stages
            if stages is not None:
                return stages, f"variants[{variant}].stages"
        return self.stages, "stages"

    def prepare_of(self, variant: int | None) -> tuple[list[Stage], str]:
        """The prepare stages in force in a variant, and their path in the manifest."""
        if variant is not None:
            stages = self.variants[variant].prepare
            if stages is not None:
                return stages, f"variants[{variant}].prepare"
        return self.prepare, "prepare"

    def launches_of(self, variant: int | None) -> list[tuple[Stage, str]]:
        """Every launch of a variant, prepare stages first, each with its path in the manifest."""
        return [
            (stage, f"{path}[{index}]")
            for stages, path in (self.prepare_of(variant), self.stages_of(variant))
            for index, stage in enumerate(stages)
        ]
