"""The text of a task from a reference, and the skeleton that its first kernel starts from."""

import json
import re
from pathlib import Path

from avo_tui.domain.plain import safe
from avo_tui.evaluation.backends.cpp.glue import ELEMENTS
from avo_tui.evaluation.backends.cuda.manual import manual
from avo_tui.evaluation.measurement import dtypes
from avo_tui.evaluation.measurement.near_ties import jumping_text
from avo_tui.evaluation.references.files import Companions
from avo_tui.evaluation.references.spec import SOURCE, ReferenceSpec, Tensor

MOST_CHARACTERS = 12_000
"""Most characters of a reference's text that the description repeats."""

_CUDA_TYPES = {**ELEMENTS, "float16": "__half", "bfloat16": "__nv_bfloat16"}


def _signature(spec: ReferenceSpec, entry: str) -> str:
    parts = [
        f"{'' if t.role == 'output' else 'const '}{ELEMENTS.get(t.dtype, t.dtype)}* {t.name}"
        for t in spec.tensors
    ]
    parts += [f"int64_t {axis}" for axis in spec.axes]
    return f'extern "C" void {entry}({", ".join(parts)})'


def _tensors(spec: ReferenceSpec) -> str:
    lines = []
    for tensor in spec.tensors:
        shapes = [f"{list(c.shapes[tensor.name])} in `{c.name}`" for c in spec.scored]
        role = {"input": "input", "weight": "weight, an input too", "output": "output"}
        lines.append(f"- `{tensor.name}`: {tensor.dtype}, {role[tensor.role]}, {', '.join(shapes)}")
    return "\n".join(lines)


def _sizes(spec: ReferenceSpec) -> str:
    if not spec.axes:
        return "All sizes are always the same."
    return (
        f"{', '.join(f'`{axis}`' for axis in spec.axes)} may be any number from 1 on: the check "
        "uses others than those that are scored. All other sizes are always the same."
    )


def _remarks(spec: ReferenceSpec) -> str:
    changed = [f"`{n} = {v}`" for n, v in spec.overrides.items()]
    lines = [f"In the file above these are replaced: {', '.join(changed)}."] if changed else []
    lines += [f"{mode}." for mode in spec.modes]
    return "\n".join(lines + [f"Note: {remark}." for remark in spec.remarks])


def reference_text(folder: Path) -> str:
    """The reference of a task's folder as its author reads it: Python, with the modules that it
    imports. Long ones are cut."""
    text = (folder / SOURCE).read_text(encoding="utf-8")
    if text.lstrip().startswith("{"):  # a definition of FlashInfer-Bench
        text = str(json.loads(text).get("reference", ""))
    for name, module in Companions.read(folder).modules.items():
        text = f"{text.rstrip()}\n\n# {name}.py, which it imports:\n{module}"
    text = safe(text.strip())
    if len(text) <= MOST_CHARACTERS:
        return text
    whole_lines = text[:MOST_CHARACTERS].rpartition("\n")[0]
    return f"{whole_lines}\n# … cut here: all of it is {folder / SOURCE}"


def _program(text: str) -> str:
    """Fenced, by more marks than stand together anywhere in it."""
    longest = max((len(marks) for marks in re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}python\n{text}\n{fence}"


def _judged(spec: ReferenceSpec) -> str:
    whole = [t.name for t in spec.of_role("output") if dtypes.dtype(t.dtype).exact]
    exactly = f"; {', '.join(whole)} must be equal to the bit" if whole else ""
    text = f"Outputs are compared with the reference computed in double precision{exactly}."
    if spec.jumping:
        text += f" {jumping_text(spec.jumping)}"
    return text


def cpp_description(spec: ReferenceSpec, entry: str, text: str) -> str:
    """What the author of a C++ kernel reads; `text` is the reference's."""
    return f"""\
Compute what this computes (from {spec.origin.rpartition("/")[2]}), on one CPU thread:

{_program(text)}

```cpp
{_signature(spec, entry)};
```
{_tensors(spec)}

Tensors are contiguous, the last dimension innermost, 64-byte aligned, and do not overlap. Inputs
are read-only; every element of every output must be written. bf16 is passed as its bits.
{_sizes(spec)}
{_remarks(spec)}
{_judged(spec)}

One C++17 file; the standard library's memory, mathematics and containers and GCC's vector
extensions or intrinsics may be used. One thread; no other process, file, clock or library. A line
`// flags: -ffast-math` in the source asks for further compiler flags from an allow-list.
"""


def cuda_description(spec: ReferenceSpec, text: str) -> str:
    """What the author of a CUDA kernel reads, the manual of the launch manifest included; `text`
    is the reference's."""
    counts = ", ".join(f"`N_{t.name.upper()}`" for t in spec.tensors)
    axes = ", ".join(f"`{axis.upper()}`" for axis in spec.axes) or "none"
    return f"""\
Compute what this computes (from {spec.origin.rpartition("/")[2]}), on one GPU:

{_program(text)}

{_tensors(spec)}

Tensors are contiguous, the last dimension innermost. {_sizes(spec)}
Names for the manifest's expressions: sizes {axes}; numbers of elements {counts}.
A run may launch up to 64 kernels.
{_remarks(spec)}
{_judged(spec)}

{manual()}"""


def skeleton(spec: ReferenceSpec, entry: str) -> str:
    """A C++ kernel of the right signature that computes nothing."""
    outputs = ", ".join(t.name for t in spec.of_role("output"))
    return f"""\
// A skeleton: it has the right signature and computes nothing yet.
#include <cstdint>

{_signature(spec, entry)} {{
    // write every element of {outputs}
}}
"""


def cuda_skeleton(spec: ReferenceSpec) -> dict[str, str]:
    """A CUDA kernel for each output that writes zeros, and the manifest that launches them."""
    outputs = spec.of_role("output")
    kernels = "\n".join(_zeros(t) for t in outputs)
    stages = "\n".join(
        f"""\
[[stages]]
entry = "zero_{t.name}"
grid = ["cdiv(N_{t.name.upper()}, 256)"]
block = [256]
params = [{{ tensor = "{t.name}" }}, {{ i64 = "N_{t.name.upper()}" }}]
"""
        for t in outputs
    )
    head = "// A skeleton: it writes zeros and computes nothing yet.\n"
    include = "#include <cuda_fp16.h>\n#include <cuda_bf16.h>\n#include <cstdint>\n"
    return {"kernel.cu": f"{head}{include}\n{kernels}", "launch.toml": stages}


def _zeros(tensor: Tensor) -> str:
    kind = _CUDA_TYPES.get(tensor.dtype, tensor.dtype)
    return f"""\
extern "C" __global__ void zero_{tensor.name}({kind}* out, long long n) {{
    long long i = blockIdx.x * 256LL + threadIdx.x;
    if (i < n) out[i] = {kind}(0);
}}
"""
