"""Whether a compiler that tests need is on this machine."""

import asyncio
from functools import cache

from avo_tui.evaluation.backends.rust import RustDriver
from avo_tui.evaluation.ports import EvaluatorError


@cache
def no_rust() -> str:
    """Why there is no compiler of Rust; empty where there is one."""
    try:
        asyncio.run(RustDriver().toolchain())
    except EvaluatorError as error:
        return str(error)
    return ""
