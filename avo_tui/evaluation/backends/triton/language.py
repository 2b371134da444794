"""Triton as the shared front end sees it."""

from __future__ import annotations

from pathlib import Path

from avo_tui.evaluation.backends.traced.language import TracedLanguage
from avo_tui.evaluation.backends.triton import toolkit
from avo_tui.evaluation.backends.triton.single_source import single_source

TRITON = TracedLanguage(
    title="Triton",
    package="triton",
    module="triton",
    extra=toolkit.EXTRA,
    recorder=Path(__file__).with_name("recorder.py"),
    assembler=toolkit.assembler,
    write_source=single_source,
    environment={
        "TRITON_CACHE_DIR": "cache",
        "TRITON_DEFAULT_FP_FUSION": "1",
        "TRITON_HOME": ".",
    },
)
