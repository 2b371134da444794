"""CuTe DSL as the shared front end sees it."""

from __future__ import annotations

from pathlib import Path

from avo_tui.evaluation.backends.cute import toolkit
from avo_tui.evaluation.backends.traced.language import TracedLanguage

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
    write_source=None,
    environment={
        "CUTE_DSL_CACHE_DIR": "cache",
        "CUTE_DSL_DUMP_DIR": "dump",
        "CUTE_DSL_KEEP": "ptx",
        "CUTE_DSL_LINEINFO": "1",
        "CUTE_DSL_NO_CACHE": "1",
    },
)
