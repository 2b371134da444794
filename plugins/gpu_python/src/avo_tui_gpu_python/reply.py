"""Validates what the compiler's process says about a candidate's launches, and makes launch plans.

That process runs the candidate's Python, so its reply is not trusted: every number has a range, and
every buffer must be one of the task's or a workspace.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from avo_tui.evaluation.backends.cuda.launch_plan import (
    DeviceFacts,
    LaunchPlan,
    PlannedAddress,
    PlannedParam,
    PlannedStage,
    PlannedWorkspace,
    TensorSpec,
)
from avo_tui.evaluation.backends.cuda.manifest import MAX_WORKSPACE_BYTES

MOST_PARAMETER_BYTES = 4096
MOST_THREADS = 1024
"""Of one block."""
MOST_BLOCKS_OF_A_CLUSTER = 16


class LaunchError(ValueError):
    """An impossible launch; the message says why."""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


Name = Annotated[str, Field(max_length=64)]


class Address(PlannedAddress, extra="forbid"):
    """Eight bytes of a parameter that hold the address of a byte of a buffer."""

    at: Annotated[int, Field(ge=0, lt=MOST_PARAMETER_BYTES)]
    buffer: Name


class Argument(PlannedParam, extra="forbid"):
    """One parameter of a kernel: a pointer, a number, or bytes with addresses among them."""

    kind: Literal["pointer", "i32", "i64", "u64", "f32", "bytes"]
    buffer: Name = ""
    data: Annotated[
        str, Field(pattern=r"^(?:[0-9a-f]{2})*$", max_length=2 * MOST_PARAMETER_BYTES)
    ] = ""
    addresses: Annotated[tuple[Address, ...], Field(max_length=64)] = ()


Extent = Annotated[int, Field(ge=1, le=2**31 - 1)]
Extents = tuple[Extent, Extent, Extent]


class Launch(_Part):
    """One launch of a compiled kernel."""

    kernel: Annotated[int, Field(ge=0, lt=4096)]
    """Number of the PTX text that holds it."""
    symbol: Annotated[str, Field(pattern=r"^[A-Za-z_$][A-Za-z0-9_$]*$", max_length=512)]
    name: Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", max_length=200)]
    """Of the function in the candidate's source."""
    line: Annotated[int, Field(ge=0)]
    grid: Extents
    """Blocks in each dimension."""
    block: Extents
    """Threads in each dimension."""
    cluster: Extents
    """Blocks of a cluster in each dimension."""
    shared: Annotated[int, Field(ge=0)]
    cooperative: bool
    programmatic: bool
    arguments: Annotated[list[Argument], Field(max_length=128)]


WorkspaceName = Annotated[str, Field(pattern=r"^[a-z0-9_]+$", max_length=64)]


class Workspace(_Part):
    """Memory between launches."""

    bytes: Annotated[int, Field(ge=1, le=MAX_WORKSPACE_BYTES)]
    zero: bool = False


class Trouble(_Part):
    """What went wrong in the candidate's Python."""

    error: str
    log: str = ""


class Run(_Part):
    """What one run on a configuration launches."""

    launches: list[Launch]
    workspaces: dict[WorkspaceName, Workspace] = Field(default_factory=dict)


class Reply(_Part):
    """All that the compiler's process says."""

    configurations: dict[str, Run | Trouble]
    trouble: Trouble | None = None
    printed: str = ""


def read(text: str) -> Reply:
    """The reply. Raises LaunchError where it is not one."""
    try:
        return Reply.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise LaunchError(f"what is launched cannot be: {where}: {first['msg']}") from error


def keys(launches: Sequence[Launch]) -> list[str]:
    """What each launch's kernel is called in plans and feedback: its name, numbered if not alone.

    Two kernels of one name are two specialisations of one function.
    """
    numbers: dict[str, list[tuple[int, str]]] = {}
    for launch in launches:
        known = numbers.setdefault(launch.name, [])
        if (launch.kernel, launch.symbol) not in known:
            known.append((launch.kernel, launch.symbol))
    return [
        launch.name
        if len(numbers[launch.name]) == 1
        else f"{launch.name}#{numbers[launch.name].index((launch.kernel, launch.symbol)) + 1}"
        for launch in launches
    ]


def plan_of(
    run: Run,
    file: str,
    tensors: Sequence[TensorSpec],
    facts: DeviceFacts,
    most_launches: int,
) -> LaunchPlan:
    """The launches of one configuration in numbers, its unit left open.

    Raises LaunchError for what this device, or any, cannot do, or the task does not allow.
    """
    if not run.launches:
        raise LaunchError("launch launches nothing")
    if len(run.launches) > most_launches:
        raise LaunchError(f"{len(run.launches)} launches; this task allows {most_launches}")
    sizes = {t.name: t.bytes for t in tensors} | {n: w.bytes for n, w in run.workspaces.items()}
    if len(sizes) < len(tensors) + len(run.workspaces):
        raise LaunchError("a workspace has the name of a tensor")
    if sum(w.bytes for w in run.workspaces.values()) > MAX_WORKSPACE_BYTES:
        raise LaunchError(f"all workspaces together exceed {MAX_WORKSPACE_BYTES >> 20} MiB")
    names = keys(run.launches)
    stages = tuple(
        _stage(launch, name, index, f"{file}:{launch.line}", sizes, facts)
        for index, (launch, name) in enumerate(zip(run.launches, names, strict=True))
    )
    arguments = [a for launch in run.launches for a in launch.arguments]
    reached = {a.buffer for a in arguments} | {p.buffer for a in arguments for p in a.addresses}
    for tensor in tensors:
        if tensor.output and tensor.name not in reached:
            raise LaunchError(f"no kernel is given the output {tensor.name!r}")
    return LaunchPlan(
        variant=None,
        stages=stages,
        maps={},
        workspaces={
            name: PlannedWorkspace(bytes=w.bytes, zero=w.zero) for name, w in run.workspaces.items()
        },
    )


def _stage(
    launch: Launch,
    name: str,
    index: int,
    path: str,
    sizes: Mapping[str, int],
    facts: DeviceFacts,
) -> PlannedStage:
    x, y, z = launch.grid
    if y > 65_535 or z > 65_535:
        raise LaunchError(
            f"{path}: the grid of {name} is {list(launch.grid)}; only its first may exceed 65535"
        )
    if launch.shared > facts.shared_memory:
        raise LaunchError(
            f"{path}: {name} needs {launch.shared} bytes of shared memory; a block can have "
            f"{facts.shared_memory}: smaller blocks or fewer stages need less"
        )
    if math.prod(launch.block) > MOST_THREADS:
        raise LaunchError(
            f"{path}: a block of {name} has {math.prod(launch.block)} threads; it can have "
            f"{MOST_THREADS}"
        )
    if math.prod(launch.cluster) > MOST_BLOCKS_OF_A_CLUSTER:
        raise LaunchError(
            f"{path}: a cluster of {name} has {math.prod(launch.cluster)} blocks; it can have "
            f"{MOST_BLOCKS_OF_A_CLUSTER}"
        )
    if any(n % c for n, c in zip(launch.grid, launch.cluster, strict=True)):
        raise LaunchError(
            f"{path}: the grid of {name} is {list(launch.grid)}, which clusters of"
            f" {list(launch.cluster)} blocks do not divide"
        )
    return PlannedStage(
        entry=name,
        grid=(x, y, z),
        block=launch.block,
        cluster=launch.cluster if math.prod(launch.cluster) > 1 else None,
        shared_memory=launch.shared,
        cooperative=launch.cooperative,
        programmatic=launch.programmatic and index > 0,
        params=tuple(_param(a, f"{path}: {name}", sizes) for a in launch.arguments),
        path=path,
    )


def _param(argument: Argument, where: str, sizes: Mapping[str, int]) -> PlannedParam:
    value = argument.value
    if argument.kind == "bytes":  # of several members, such as a tensor map
        for address in argument.addresses:
            if address.at + 8 > argument.bytes:
                raise LaunchError(
                    f"{where}: an address reaches behind a parameter of {argument.bytes} bytes"
                )
            _inside(address.buffer, address.value, where, sizes)
    elif argument.kind == "f32":
        try:
            value = float(value)
        except OverflowError:
            raise LaunchError(f"{where}: a number does not fit f32") from None
    elif not isinstance(value, int):
        raise LaunchError(f"{where}: {value} is no whole number")
    elif argument.kind == "pointer":
        _inside(argument.buffer, value, where, sizes)
    else:
        bits = 32 if argument.kind == "i32" else 64
        low = 0 if argument.kind == "u64" else -(1 << (bits - 1))
        if not low <= value < low + (1 << bits):
            raise LaunchError(f"{where}: {value} does not fit {argument.kind}")
    told = {"data", "addresses"} if argument.kind == "bytes" else {"buffer"}
    return PlannedParam.model_validate(
        {**argument.model_dump(include=told), "kind": argument.kind, "value": value}
    )


def _inside(buffer: str, offset: int, where: str, sizes: Mapping[str, int]) -> None:
    if buffer not in sizes:
        raise LaunchError(f"{where}: there is no tensor {buffer!r}")
    if not 0 <= offset < sizes[buffer]:
        raise LaunchError(f"{where}: a pointer begins outside {buffer}")
