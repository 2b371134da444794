"""The launches of a plan as C++ statements, for a kernel that is exported as one source."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from avo_tui.evaluation.backends.cuda.launch_plan import (
    LaunchPlan,
    PlannedMap,
    PlannedParam,
    PlannedStage,
    PlannedWorkspace,
)
from avo_tui.evaluation.flatten import c_name

ALIGNMENT = 256
"""Bytes between the beginnings of workspaces; also what every pointer must be a multiple of."""
_MAP_TYPES = {
    "bf16": "BFLOAT16", "f16": "FLOAT16", "f32": "FLOAT32", "f64": "FLOAT64", "u8": "UINT8",
    "i8": "UINT8", "bool": "UINT8", "f8e4m3": "UINT8", "f8e5m2": "UINT8", "i16": "UINT16",
    "u16": "UINT16", "i32": "INT32", "u32": "UINT32", "i64": "INT64", "u64": "UINT64",
    "c64": "FLOAT64",
}  # fmt: skip
_PROMOTIONS = {"none": "NONE", "64B": "L2_64B", "128B": "L2_128B", "256B": "L2_256B"}
_FILLS = {"zero": "NONE", "nan": "NAN_REQUEST_ZERO_FMA"}
_SCALARS = {
    "i32": "int", "u32": "unsigned", "i64": "long long", "u64": "unsigned long long",
    "f32": "float", "f64": "double",
}  # fmt: skip


def places(workspaces: Mapping[str, PlannedWorkspace]) -> tuple[dict[str, int], int]:
    """(workspace → offset of its first byte, bytes of all together)."""
    begins, end = {}, 0
    for name, workspace in workspaces.items():
        begins[name] = end
        end += (workspace.bytes + ALIGNMENT - 1) // ALIGNMENT * ALIGNMENT
    return begins, end


def body_of(plan: LaunchPlan, stages: Sequence[PlannedStage], unit: int, *, zero: bool) -> str:
    """The body of a function that launches `stages`, whose kernels are in `unit`'s namespace.

    With `zero` it first clears the workspaces that begin as zeros.
    """
    begins, _ = places(plan.workspaces)
    lines = []

    def address(buffer: str, offset: int) -> str:
        if buffer in begins:
            return f"at(workspace, {begins[buffer] + offset})"
        return f"at({c_name(buffer)}, {offset})"

    if zero:
        for name, workspace in plan.workspaces.items():
            if workspace.zero:
                where = address(name, 0)
                lines.append(f"AVO_TRY(cudaMemsetAsync({where}, 0, {workspace.bytes}, stream));")
    used = dict.fromkeys(p.buffer for s in stages for p in s.params if p.kind == "map")
    for name in used:
        lines += _map(
            name, plan.maps[name], address(plan.maps[name].buffer, plan.maps[name].offset)
        )
    for stage in stages:
        lines.append("{")
        arguments = []
        for number, param in enumerate(stage.params):
            if param.kind == "map":
                arguments.append(f"&map_{c_name(param.buffer)}")
                continue
            lines.append(f"    {_argument(number, param, address)}")
            arguments.append(f"&p{number}")
        lines.append(f"    void* arguments[] = {{{', '.join(arguments) or 'nullptr'}}};")
        lines.append(f"    const LaunchShape shape = {_launch_shape(stage)};")
        entry = f"unit_{unit}::{stage.entry}"
        lines.append(f"    AVO_TRY(launch((const void*)({entry}), shape, arguments, stream));")
        lines.append("}")
    lines.append("return cudaSuccess;")
    return "\n".join(f"    {line}" for line in lines)


def _argument(number: int, param: PlannedParam, address: Callable[[str, int], str]) -> str:
    if param.kind == "pointer":
        return f"void* p{number} = {address(param.buffer, int(param.value))};"
    value = param.value
    if param.kind in {"f32", "f64"}:
        text = float(value).hex()
    else:
        text = f"{value}ull" if param.kind == "u64" else f"{value}ll"
    kind = _SCALARS[param.kind]
    return f"{kind} p{number} = static_cast<{kind}>({text});"


def _launch_shape(stage: PlannedStage) -> str:
    def extent(values: Sequence[int]) -> str:
        return f"dim3({', '.join(map(str, values))})"

    flags = [str(flag).lower() for flag in (stage.cooperative, stage.programmatic)]
    cluster = extent(stage.cluster or (0, 0, 0))
    return (
        f"{{{extent(stage.grid)}, {extent(stage.block)}, {cluster}, {stage.shared_memory}u, "
        f"{', '.join(flags)}}}"
    )


def _map(name: str, planned: PlannedMap, where: str) -> list[str]:
    def row(values: Sequence[int], suffix: str) -> str:
        return "{" + ", ".join(f"{value}{suffix}" for value in values or (0,)) + "}"

    fields = [
        f"CU_TENSOR_MAP_DATA_TYPE_{_MAP_TYPES[planned.dtype]}",
        str(len(planned.dims)),
        row(planned.dims, "ull"),
        row(planned.strides, "ull"),
        row(planned.box, "u"),
        row(planned.element_strides, "u"),
        f"CU_TENSOR_MAP_SWIZZLE_{planned.swizzle.upper()}",
        f"CU_TENSOR_MAP_L2_PROMOTION_{_PROMOTIONS[planned.l2]}",
        f"CU_TENSOR_MAP_FLOAT_OOB_FILL_{_FILLS[planned.fill]}",
    ]
    own = c_name(name)
    return [
        f"CUtensorMap map_{own};",
        f"static const MapShape shape_{own} = {{",
        *(f"    {field}," for field in fields),
        "};",
        f"AVO_TRY(encode(&map_{own}, {where}, shape_{own}));",
    ]
