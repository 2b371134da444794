"""The launch manifest: how the harness launches a candidate's kernels. Data, never code.

`parse` reads `launch.toml` or `launch.json` and names the field, the line and the reason of
everything that is wrong. What depends on the configuration is resolved in `resolve`.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Sequence
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StrictBool,
    StrictInt,
    ValidationError,
    model_validator,
)

from avo_tui.domain.base import Value
from avo_tui.domain.candidate import Candidate
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

    def params_of(self, stage: Stage, path: str) -> tuple[list[Param], str] | None:
        """The parameters of a stage, and their path; None where neither it nor its kernel has any
        listed."""
        if stage.params is not None:
            return stage.params, f"{path}.params"
        kernel = self.kernels.get(stage.entry)
        return None if kernel is None else (kernel.params, f"kernels.{stage.entry}.params")

    def launches_of(self, variant: int | None) -> list[tuple[Stage, str]]:
        """Every launch of a variant, prepare stages first, each with its path in the manifest."""
        return [
            (stage, f"{path}[{index}]")
            for stages, path in (self.prepare_of(variant), self.stages_of(variant))
            for index, stage in enumerate(stages)
        ]


FILE_NAMES = ("launch.toml", "launch.json")

Path = tuple[str | int, ...]


class Issue(Value):
    """One error of the manifest."""

    path: str
    """Such as `stages[0].grid[1]`; empty where the text could not be read at all."""
    line: int | None
    reason: str


class ManifestError(ValueError):
    """The manifest is wrong. `issues` says where and why, first things first."""

    def __init__(self, issues: Sequence[Issue], file: str = FILE_NAMES[0]) -> None:
        self.issues = tuple(issues)
        self.file = file
        super().__init__("\n".join(self.lines()))

    def lines(self) -> list[str]:
        """One line per error: `launch.toml:7: stages[0].grid: …`."""
        messages = []
        for issue in self.issues:
            position = f"{self.file}:{issue.line}" if issue.line else self.file
            messages.append(f"{position}: {issue.path + ': ' if issue.path else ''}{issue.reason}")
        return messages


def file_of(candidate: Candidate) -> str:
    """The name of the candidate's manifest. Raises ManifestError where there is not exactly one."""
    names = [name for name in FILE_NAMES if name in candidate.files]
    if len(names) == 1:
        return names[0]
    reason = (
        "the candidate has no launch manifest; add launch.toml"
        if not names
        else "the candidate has both launch.toml and launch.json; keep one"
    )
    raise ManifestError([Issue(path="", line=None, reason=reason)])


def parse(text: str, file: str = FILE_NAMES[0]) -> Manifest:
    """The manifest in `text` (JSON where `file` ends so, else TOML). Raises ManifestError."""
    try:
        data: Any = json.loads(text) if file.endswith(".json") else tomllib.loads(text)
    except json.JSONDecodeError as error:
        raise ManifestError([Issue(path="", line=error.lineno, reason=error.msg)], file) from error
    except tomllib.TOMLDecodeError as error:
        match = re.search(r"line (\d+)", str(error))
        line = int(match[1]) if match else None
        raise ManifestError([Issue(path="", line=line, reason=str(error))], file) from error
    except RecursionError as error:
        reason = "is nested too deeply"
        raise ManifestError([Issue(path="", line=None, reason=reason)], file) from error
    try:
        return Manifest.model_validate(data)
    except ValidationError as error:
        raise ManifestError(_issues(error, text), file) from error


def _issues(error: ValidationError, text: str) -> list[Issue]:
    issues: list[Issue] = []
    seen: set[str] = set()
    for detail in error.errors(include_url=False):
        path = _clean(detail["loc"])
        name = dotted(path)
        reason = _reason(detail, path)
        # A union reports each of its members; the first says enough.
        if name in seen:
            continue
        seen.add(name)
        issues.append(Issue(path=name, line=line_of(text, path), reason=reason))
    return issues[:12]


def _reason(detail: Any, path: Path) -> str:
    kind, value = detail["type"], detail.get("input")
    if "macros" in path and kind in {"bool_type", "int_type", "float_type", "bool_parsing"}:
        return f"must be a number, true, false or one plain word (it is {value!r})"
    if kind in {"int_type", "int_parsing", "int_from_float"}:
        return f"must be an integer or an expression such as 'SEQ // 128' (it is {value!r})"
    if kind == "extra_forbidden":
        return "is not a field the manifest knows here"
    if kind == "missing":
        return "is missing"
    message = str(detail["msg"]).removeprefix("Value error, ")
    message = message[:1].lower() + message[1:]
    shown = repr(value)
    if isinstance(value, str | int | float | bool) and len(shown) <= 80:
        return f"{message} (it is {shown})"
    return message


_UNION_TAGS = re.compile(r"^(int|float|str|bool|constrained-.*|function-.*|strict.*)$")


def _clean(location: tuple[str | int, ...]) -> Path:
    """The location without the names pydantic adds for the members of a union."""
    parts = list(location)
    while parts and isinstance(parts[-1], str) and _UNION_TAGS.match(parts[-1]):
        parts.pop()
    return tuple(p for p in parts if p != "[key]")


def dotted(path: Path) -> str:
    """`("stages", 0, "grid")` as `stages[0].grid`."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f"{'.' if text else ''}{part}"
    return text


def undotted(name: str) -> Path:
    """The inverse of `dotted`."""
    return tuple(int(n) if n else w for w, n in re.findall(r"([^.\[\]]+)|\[(\d+)\]", name))


def line_of(text: str, path: Path) -> int | None:
    """The line (from 1) of the longest part of `path` that TOML text names; None where none is.

    Tables written inline are found at the line of their key.
    """
    lines = text.splitlines()
    longest, begin, best = 0, 1, None
    for end in range(1, len(lines) + 1):
        try:
            data: Any = tomllib.loads("\n".join(lines[:end]))
        except tomllib.TOMLDecodeError:
            continue  # within a value of several lines
        depth = _depth(data, path)
        if depth > longest:
            longest, best = depth, begin
        begin = end + 1
    return best


def _depth(data: Any, path: Path) -> int:
    """How many parts of `path` there are in what was read."""
    for depth, part in enumerate(path):
        try:
            data = data[part]
        except (KeyError, IndexError, TypeError):
            return depth
    return len(path)
