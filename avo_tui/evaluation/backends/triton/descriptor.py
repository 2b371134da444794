"""The descriptor of the Triton backend."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from avo_tui.evaluation.backends.traced.traced_descriptor import traced_descriptor

if TYPE_CHECKING:
    from avo_tui.evaluation.backends.traced.language import TracedLanguage


def _language() -> TracedLanguage:
    from avo_tui.evaluation.backends.triton.language import TRITON

    return TRITON


DESCRIPTOR = traced_descriptor(
    "triton", "Triton", "triton", Path(__file__).with_name("manual.md"), _language
)
