"""A Triton candidate as one Python file: its kernels, and a function that takes torch's tensors."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from pathlib import Path

from avo_tui.domain.deployment import DeployedShape, Setting, SingleSource, settings
from avo_tui.domain.task import Configuration
from avo_tui.evaluation.backends.cuda.launch_plan import DeviceFacts
from avo_tui.evaluation.backends.cuda.task import CudaTask
from avo_tui.evaluation.flatten import c_name
from avo_tui.evaluation.measurement import dtypes
from avo_tui.evaluation.ports import EvaluatorError
from avo_tui.evaluation.shapes import shape_of

CALLING = Path(__file__).with_name("single_source_calling.py")
"""The end of the exported file; a part of it, not of avo-tui."""
_MARK = "# ---- what follows is written to the exported file\n"


def single_source(
    task: CudaTask,
    text: str,
    configurations: Sequence[Configuration],
    facts: DeviceFacts,
    function: str,
) -> SingleSource:
    """`text` is the candidate's one file, known to compile. Raises EvaluatorError."""
    name = c_name(function)
    if name in _names(text):
        raise EvaluatorError(f"the candidate has a {name} of its own; choose another --function")
    shapes = tuple(_shape(task, c, facts) for c in configurations)
    chosen = settings(shapes)
    parts = [
        f"# {name}: Triton kernels with a function for torch's tensors, at the end.\n"
        f"# Without a GPU, `python {name}.py {facts.architecture}` compiles them for one.\n",
        text.rstrip() + "\n",
        CALLING.read_text(encoding="utf-8").partition(_MARK)[2].strip() + "\n",
        f"_SHAPES = [\n{_rows(shapes)}\n]\n",
        _function(name, shapes, chosen),
        f'if __name__ == "__main__":\n    _main("{facts.architecture}")\n',
    ]
    return SingleSource(
        name=f"{name}.py",
        text="\n\n".join(parts),
        command=("python", f"{name}.py", facts.architecture),
        usage=_usage(name, shapes, chosen),
    )


def _names(text: str) -> set[str]:
    """Names that the candidate binds at its top level."""
    names: set[str] = set()
    for node in ast.parse(text).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
        names.update(n.id for n in ast.walk(node) if isinstance(n, ast.Name) and _binds(n))
        if isinstance(node, ast.Import | ast.ImportFrom):
            names.update((alias.asname or alias.name).partition(".")[0] for alias in node.names)
    return names


def _binds(name: ast.Name) -> bool:
    return isinstance(name.ctx, ast.Store)


def _shape(task: CudaTask, configuration: Configuration, facts: DeviceFacts) -> DeployedShape:
    inputs = {
        t.name: (t.shape, dtypes.dtype(t.dtype).name)
        for t in task.tensors(configuration)
        if not t.output
    }
    return shape_of(task, configuration, inputs, {"SMS": facts.sms, **task.names(configuration)})


def _rows(shapes: Sequence[DeployedShape]) -> str:
    """The table of shapes, one line each."""
    return "\n".join(
        "    "
        + repr(
            {
                "name": shape.name,
                "inputs": [(t.name, t.dtype, t.shape) for t in shape.inputs],
                "outputs": [(t.name, t.dtype, t.shape) for t in shape.outputs],
                "parameters": shape.parameters,
                "names": shape.launch,
            }
        )
        + ","
        for shape in shapes
    )


def _function(name: str, shapes: Sequence[DeployedShape], chosen: Sequence[Setting]) -> str:
    inputs = [t.name for t in shapes[0].inputs]
    parameters = [*inputs, *(["*"] if chosen else [])]
    parameters += [s.name + ("=False" if s.kind == "bool" else "") for s in chosen]
    given = ", ".join(f"{s.name!r}: {s.name}" for s in chosen)
    return (
        f"def {name}({', '.join(parameters)}):\n"
        f'    """Runs the kernel on contiguous tensors of one GPU; ValueError on other shapes."""\n'
        f"    return _call(({', '.join(inputs)},), {{{given}}})\n"
    )


def _usage(name: str, shapes: Sequence[DeployedShape], chosen: Sequence[Setting]) -> str:
    first = shapes[0]
    values = [f"{s.name}={first.parameters.get(s.name)!r}" for s in chosen]
    given = ", ".join([*(t.name for t in first.inputs), *values])
    lines = "\n".join(
        f"- {s.name}: "
        + ", ".join(f"{t.name} {list(t.shape)} {t.dtype}" for t in s.inputs)
        + "".join(f", {c.name}={s.parameters.get(c.name)}" for c in chosen)
        for s in shapes
    )
    return (
        "which needs Triton and torch and no GPU. On a GPU Triton compiles at the first call:\n\n"
        f"```python\nfrom {name} import {name}\n\nout = {name}({given})\n```\n\n"
        f"The kernel was checked on these shapes among others; on any other it raises "
        f"ValueError:\n\n{lines}"
    )
