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


def seconds_of_a_product(a: torch.Tensor, b: torch.Tensor) -> float:
    """Processor's seconds that torch takes to multiply on one thread, in a good run."""
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
    return sorted(took)[5]


async def test_no_matrix_product_is_faster() -> None:
    """Clocks and neighbours change between two measurements: both are taken until they agree.

    A ceiling that counted too few operations would be too low each time.
    """
    tools = Compiler(await find_toolchain())
    a, b = torch.randn(256, 256), torch.randn(256, 256)
    ceilings, products = [], []
    for _ in range(8):
        reached = await measured_ceiling(tools, Sandbox(allow_weak=True), benchmark_cpu())
        ceilings.append(reached[0])
        products.append(2 * 256**3 / seconds_of_a_product(a, b))
        if products[-1] < 1.1 * max(ceilings):
            return
    raise AssertionError(f"products {products}, ceilings {ceilings}, operations a second")
