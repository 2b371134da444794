"""The measured ceiling of a processor is a ceiling: its own library does not beat it."""

import time

import torch

from avo_tui.evaluation.backends.cpp.ceiling import measured_ceiling
from avo_tui.evaluation.backends.cpp.compiler import Compiler
from avo_tui.evaluation.backends.cpp.machine import benchmark_cpu
from avo_tui.evaluation.backends.cpp.toolchain import find_toolchain
from avo_tui.evaluation.sandbox.run import Sandbox
from tests.evaluation.evaluation_support import needs_compiler

pytestmark = needs_compiler


async def test_no_matrix_product_is_faster() -> None:
    tools = Compiler(await find_toolchain())
    ceiling = await measured_ceiling(tools, Sandbox(allow_weak=True), benchmark_cpu())
    a, b = torch.randn(256, 256), torch.randn(256, 256)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        took = []
        for _ in range(20):
            began = time.thread_time()
            torch.mm(a, b)
            took.append(time.thread_time() - began)
    finally:
        torch.set_num_threads(threads)
    assert 2 * 256**3 / sorted(took)[5] < 1.1 * ceiling
