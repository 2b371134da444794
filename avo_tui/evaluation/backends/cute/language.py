"""CuTe DSL as the shared front end sees it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from avo_tui.domain.deployment import SingleSource
from avo_tui.domain.task import Configuration
from avo_tui.evaluation.backends.cuda.resolve import DeviceFacts
from avo_tui.evaluation.backends.cuda.task import CudaTask
from avo_tui.evaluation.backends.cute import toolkit
from avo_tui.evaluation.backends.traced.language import TracedLanguage
from avo_tui.evaluation.ports import EvaluatorError


def _no_source(
    task: CudaTask,
    text: str,
    configurations: Sequence[Configuration],
    facts: DeviceFacts,
    function: str,
) -> SingleSource:
    raise EvaluatorError(
        "a CuTe DSL kernel is not written as one file; --as torch makes a package of its cubins"
    )


CUTE = TracedLanguage(
    title="CuTe DSL",
    package="nvidia-cutlass-dsl",
    module="cutlass",
    extra=toolkit.EXTRA,
    recorder=Path(__file__).with_name("recorder.py"),
    parts=tuple(
        Path(__file__).with_name(f"host_{name}.py") for name in ("types", "values", "code")
    ),
    assembler=toolkit.assembler,
    write_source=_no_source,
    environment={
        "CUTE_DSL_CACHE_DIR": "cache",
        "CUTE_DSL_DUMP_DIR": "dump",
        "CUTE_DSL_KEEP": "ptx",
        "CUTE_DSL_LINEINFO": "1",
        "CUTE_DSL_NO_CACHE": "1",
    },
)
