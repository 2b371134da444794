"""A CUDA candidate as one `.cu` file that nvcc compiles, with functions that C can call.

The device code is the candidate's own, once for each set of macros its variants ask for; the host
code is written from the launch plans: grids, clusters, tensor maps and workspaces in numbers.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from avo_tui.domain.candidate import Candidate
from avo_tui.domain.deployment import SingleSource
from avo_tui.domain.task import Configuration
from avo_tui.evaluation.backends.cuda.compiled import resolve_plans
from avo_tui.evaluation.backends.cuda.compiler import macro_groups, manifest_refused, source_of
from avo_tui.evaluation.backends.cuda.launch_plan import (
    DeviceFacts,
    LaunchPlan,
    PlannedMap,
    PlannedParam,
    PlannedStage,
    PlannedWorkspace,
)
from avo_tui.evaluation.backends.cuda.manifest import (
    CompileOptions,
    Manifest,
    ManifestError,
    file_of,
    parse,
)
from avo_tui.evaluation.backends.cuda.task import CudaTask
from avo_tui.evaluation.backends.cuda.toolkit import architecture_number
from avo_tui.evaluation.flatten import (
    Flat,
    FlattenError,
    c_name,
    c_string,
    enumerator,
    finder,
    flatten,
    parameter_lines,
)
from avo_tui.evaluation.ports import EvaluatorError

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


RUNTIME = Path(__file__).with_name("single_source_runtime.h")
_PRELUDE_HEADERS = ("cuda.h", "cuda_runtime.h", "cstdint", "stdint.h", "cstddef", "stddef.h")
"""Of them NVRTC has none and gets our prelude; the file includes the real ones first."""
_C_LINKAGE = re.compile(r'\bextern\s+"C"')
_UNROLL = re.compile(
    r"^[ \t]*#[ \t]*pragma[ \t]+unroll[ \t]+([^\n/]*[A-Za-z_][^\n/]*?)[ \t]*(?://[^\n]*)?$",
    re.MULTILINE,
)
# As the prelude has them: the candidate was written against `long long`, which is another type
# than the system's `long` where a function is overloaded.
_TYPES = """typedef long long int64_t;
typedef unsigned long long uint64_t;
typedef unsigned long long uintptr_t;
typedef long long intptr_t;"""


@dataclass(frozen=True)
class _Kernel:
    """What the file is written from."""

    task: CudaTask
    function: str
    facts: DeviceFacts
    manifest: Manifest
    units: tuple[Flat, ...]
    macros: tuple[Mapping[str, str], ...]
    """Of each unit."""
    unit_of: Mapping[int | None, int]
    """Variant → index of its unit."""
    configurations: Sequence[Configuration]
    plans: Mapping[str, LaunchPlan]

    def tensors(self, *, output: bool) -> list[str]:
        """Names of the inputs or of the outputs, in the task's order."""
        specs = self.task.tensors(self.configurations[0])
        return [spec.name for spec in specs if spec.output == output]

    @property
    def weights(self) -> list[str]:
        """Inputs that prepare stages are given."""
        names = {
            plan.maps[p.buffer].buffer if p.kind == "map" else p.buffer
            for plan in self.plans.values()
            for stage in plan.prepare
            for p in stage.params
            if p.kind in {"map", "pointer"}
        }
        return [name for name in self.tensors(output=False) if name in names]

    @property
    def prepares(self) -> bool:
        """Whether any shape has something to do once for each set of weights."""
        return any(plan.prepare for plan in self.plans.values())


def single_source(
    task: CudaTask,
    candidate: Candidate,
    configurations: Sequence[Configuration],
    facts: DeviceFacts,
    function: str,
) -> SingleSource:
    """The file for one device. Compiles nothing; raises Rejected and EvaluatorError."""
    plans = resolve_plans(task, candidate, facts, configurations)
    file = file_of(candidate)
    try:
        manifest = parse(candidate.files[file], file)
        root = source_of(manifest, candidate, file, candidate.files[file])
    except ManifestError as error:
        raise manifest_refused(error) from error
    files = {name: text for name, text in candidate.files.items() if name != file}
    groups = macro_groups(manifest)
    used = {plan.variant for plan in plans.values()}
    kept = {macros: variants for macros, variants in groups.items() if used & set(variants)}
    try:
        unit = flatten(files, [root], ignored=_PRELUDE_HEADERS, edit=_for_nvcc)
    except FlattenError as error:
        raise EvaluatorError(str(error)) from error
    kernel = _Kernel(
        task=task,
        function=c_name(function),
        facts=facts,
        manifest=manifest,
        units=(unit,) * len(kept),
        macros=tuple(dict(macros) for macros in kept),
        unit_of={v: i for i, variants in enumerate(kept.values()) for v in variants},
        configurations=configurations,
        plans=plans,
    )
    name = f"{kernel.function}.cu"
    command = _command(name, manifest.compile, facts.architecture)
    return SingleSource(
        name=name,
        text=_file(kernel, command),
        header=_header(kernel),
        command=command,
        usage=_usage(kernel),
    )


def _for_nvcc(text: str) -> str:
    # Two variants of a kernel in two namespaces are one and the same function under C linkage.
    text = _C_LINKAGE.sub('extern "C++"', text)
    # nvcc, unlike NVRTC, does not put the values of macros into a pragma.
    return _UNROLL.sub(r"AVO_PRAGMA(unroll \1)", text)


def _command(name: str, options: CompileOptions, architecture: str) -> tuple[str, ...]:
    number = architecture.removeprefix("sm_")
    code = f"-gencode=arch=compute_{number},code=sm_{number}"
    command = ["nvcc", code, f"-std={options.std}", "-O3", f"-Xptxas=-O{options.optimize}"]
    if options.fast_math:
        command.append("-use_fast_math")
    if options.device_by_default:  # nvcc has no such option; these two take most such code
        command += ["--expt-relaxed-constexpr", "--extended-lambda"]
    if options.line_info:
        command.append("-lineinfo")
    if options.max_registers:
        command.append(f"-maxrregcount={options.max_registers}")
    library = f"lib{name.removesuffix('.cu')}.so"
    return (*command, "-shared", "-Xcompiler=-fPIC", name, "-o", library)


def _file(kernel: _Kernel, command: Sequence[str]) -> str:
    headers = dict.fromkeys(h for unit in kernel.units for h in unit.headers)
    parts = [
        f"// {kernel.function}: a kernel for {kernel.facts.architecture}, with its launches. "
        "Compile it with:\n"
        f"//     {' '.join(command)}\n"
        "// The functions that C can call are at the end.",
        "#include <cfloat>\n#include <cmath>\n#include <cstddef>\n#include <cstdint>\n"
        "#include <cstring>\n#include <cuda.h>\n#include <cuda_runtime.h>",
        "\n".join(f"#include <{header}>" for header in headers),
        "#define AVO_PRAGMA_(text) _Pragma(#text)\n#define AVO_PRAGMA(text) AVO_PRAGMA_(text)",
    ]
    for index, (unit, macros) in enumerate(zip(kernel.units, kernel.macros, strict=True)):
        parts.append(_device_code(index, unit, macros))
    parts.append(RUNTIME.read_text(encoding="utf-8").strip())
    parts.append(_declarations(kernel))
    for index, configuration in enumerate(kernel.configurations):
        parts.append(_shape(kernel, index, configuration))
    parts.append(_functions(kernel))
    return "\n\n".join(part for part in parts if part) + "\n"


def _device_code(index: int, unit: Flat, macros: Mapping[str, str]) -> str:
    defined = {"AVO": "1", **macros}
    lines = [f"#define {name} {value}" for name, value in defined.items()]
    names = dict.fromkeys((*defined, *unit.macros))
    return "\n".join(
        [
            f"// ---- device code: unit {index}",
            *lines,
            f"namespace unit_{index} {{",
            _TYPES,
            unit.text,
            f"}}  // namespace unit_{index}",
            *(f"#undef {name}" for name in names),
        ]
    )


def _parameters(kernel: _Kernel, *, prepare: bool = False) -> str:
    names = kernel.weights if prepare else kernel.tensors(output=False)
    given = ["int shape", *(f"const void *{c_name(name)}" for name in names)]
    if not prepare:
        given += [f"void *{c_name(name)}" for name in kernel.tensors(output=True)]
    return ", ".join([*given, "void *workspace", "cudaStream_t stream"])


def _declarations(kernel: _Kernel) -> str:
    return (
        "// ---- the same as in the header\n\n"
        + _enumeration(kernel)
        + '\n\nextern "C" {\n'
        + "\n".join(f"{line};" for line in _signatures(kernel))
        + "\n}"
    )


def _enumeration(kernel: _Kernel) -> str:
    names = ",\n".join(
        f"    {enumerator(kernel.function, c.name)} = {i}"
        for i, c in enumerate(kernel.configurations)
    )
    return f"enum {kernel.function}_shape {{\n{names}\n}};"


def _signatures(kernel: _Kernel) -> list[str]:
    name = kernel.function
    find = finder(kernel.configurations)
    lines = [f"int {name}_find({find})", f"size_t {name}_workspace(int shape)"]
    if kernel.prepares:
        lines.append(f"cudaError_t {name}_prepare({_parameters(kernel, prepare=True)})")
    return [*lines, f"cudaError_t {name}({_parameters(kernel)})"]


def _shape(kernel: _Kernel, index: int, configuration: Configuration) -> str:
    """The functions of one configuration."""
    plan = kernel.plans[configuration.name]
    facts = ", ".join(f"{k}={v}" for k, v in configuration.parameters.items())
    unit = kernel.unit_of[plan.variant]
    parts = [f"// ---- {configuration.name}: {facts}"]
    if plan.prepare:
        body = body_of(plan, plan.prepare, unit, zero=False)
        given = _parameters(kernel, prepare=True).removeprefix("int shape, ")
        parts.append(f"static cudaError_t prepare_{index}({given}) {{\n{body}\n}}")
    body = body_of(plan, plan.stages, unit, zero=True)
    given = _parameters(kernel).removeprefix("int shape, ")
    parts.append(f"static cudaError_t run_{index}({given}) {{\n{body}\n}}")
    return "\n\n".join(parts)


def _functions(kernel: _Kernel) -> str:
    signatures = _signatures(kernel)
    bodies = [_find_body(kernel), _workspace_body(kernel)]
    if kernel.prepares:
        bodies.append(_dispatch(kernel, prepare=True))
    bodies.append(_dispatch(kernel, prepare=False))
    return "// ---- the functions that C can call\n\n" + "\n\n".join(
        f'extern "C" {signature} {{\n{body}\n}}'
        for signature, body in zip(signatures, bodies, strict=True)
    )


def _find_body(kernel: _Kernel) -> str:
    lines = []
    for index, configuration in enumerate(kernel.configurations):
        tests = " && ".join(
            f"std::strcmp({c_name(name)}, {c_string(value)}) == 0"
            if isinstance(value, str)
            else f"{c_name(name)} == {float(value).hex()}"
            if isinstance(value, float)
            else f"(bool){c_name(name)} == {str(value).lower()}"
            if isinstance(value, bool)
            else f"{c_name(name)} == {value}"
            for name, value in configuration.parameters.items()
        )
        lines.append(f"    if ({tests or 'true'}) return {index};")
    return "\n".join([*lines, "    return -1;"])


def _workspace_body(kernel: _Kernel) -> str:
    sizes = [places(kernel.plans[c.name].workspaces)[1] for c in kernel.configurations]
    table = ", ".join(map(str, sizes))
    return (
        f"    static const size_t bytes[] = {{{table}}};\n"
        f"    return shape >= 0 && shape < {len(sizes)} ? bytes[shape] : 0;"
    )


def _dispatch(kernel: _Kernel, *, prepare: bool) -> str:
    given = [p.split()[-1].lstrip("*") for p in _parameters(kernel, prepare=prepare).split(", ")]
    pointers = [name for name in given if name not in {"shape", "workspace", "stream"}]
    number = architecture_number(kernel.facts.architecture)
    tests = " || ".join(f"misaligned({name})" for name in pointers) or "false"
    lines = [
        f"AVO_TRY(right_device({number // 10}, {number % 10}, {kernel.facts.sms}));",
        f"if ({tests}) return cudaErrorMisalignedAddress;",
        f"if ({kernel.function}_workspace(shape) > 0 && misaligned(workspace))",
        "    return cudaErrorMisalignedAddress;",
        "switch (shape) {",
    ]
    what = "prepare" if prepare else "run"
    for index, configuration in enumerate(kernel.configurations):
        if prepare and not kernel.plans[configuration.name].prepare:
            lines.append(f"case {index}: return cudaSuccess;")
            continue
        lines.append(f"case {index}: return {what}_{index}({', '.join(given[1:])});")
    return "\n".join(f"    {line}" for line in [*lines, "}", "return cudaErrorInvalidValue;"])


def _header(kernel: _Kernel) -> str:
    name = kernel.function
    guard = f"{name.upper()}_H"
    signatures = [f"{line};" for line in _signatures(kernel)]
    abouts = [
        "The number of the shape with these parameters; -1 where the launch for it was not made.",
        "Bytes of device memory that a call needs as its workspace; 0 where it needs none.",
    ]
    if kernel.prepares:
        abouts.append(
            "Done once for each set of weights, into the workspace of the calls that follow.\n"
            "   The workspace must not be given to other weights or shapes in between."
        )
    abouts.append(
        f"One run, on device pointers that are multiples of {ALIGNMENT} bytes. It returns at\n"
        "   once; it can be captured in a CUDA graph. cudaErrorInvalidDevice: another device."
    )
    text = "\n\n".join(
        f"/* {about} */\n{line}" for about, line in zip(abouts, signatures, strict=True)
    )
    return (
        f"/* {name}: for {kernel.facts.architecture} with {kernel.facts.sms} multiprocessors. */\n"
        f"#ifndef {guard}\n#define {guard}\n\n"
        "#include <stddef.h>\n#include <stdint.h>\n#include <cuda_runtime_api.h>\n\n"
        '#ifdef __cplusplus\nextern "C" {\n#endif\n\n'
        f"{_enumeration(kernel)}\n\n{text}\n\n"
        f"#ifdef __cplusplus\n}}\n#endif\n\n#endif /* {guard} */\n"
    )


def _usage(kernel: _Kernel) -> str:
    name = kernel.function
    first = kernel.configurations[0]
    arguments = ", ".join(
        [*map(c_name, kernel.tensors(output=False)), *map(c_name, kernel.tensors(output=True))]
    )
    prepare = ""
    if kernel.prepares:
        weights = ", ".join(map(c_name, kernel.weights))
        prepare = (
            f"{name}_prepare(shape, {weights}, workspace, stream); /* once for the weights */\n"
        )
    example = (
        f"int shape = {enumerator(name, first.name)}; /* or {name}_find(…), -1 where unknown */\n"
        "void *workspace = NULL;\n"
        f"if ({name}_workspace(shape)) cudaMalloc(&workspace, {name}_workspace(shape));\n"
        f"{prepare}cudaError_t error = {name}(shape, {arguments}, workspace, stream);"
    )
    return (
        f"Needs an NVIDIA GPU: {kernel.facts.architecture} with {kernel.facts.sms} "
        "multiprocessors; on any other it returns `cudaErrorInvalidDevice`.\n\n"
        f"```c\n{example}\n```\n\nThe shapes:\n\n{parameter_lines(name, kernel.configurations)}"
    )
