"""A source that is compiled once for each variant, and fails each time."""

import asyncio

import pytest

from avo_tui.domain.candidate import Candidate
from avo_tui.domain.verdict import Verdict
from avo_tui.evaluation.backends.base import Rejected
from avo_tui.evaluation.backends.cuda.compiler import Compiler
from tests.evaluation.cuda.cuda_helpers import SANDBOX

VARIANTS = "".join(f'[[variants]]\nwhen = "SEQ == {n}"\nmacros = {{ N = {n} }}\n' for n in range(4))
MANIFEST = f"""
[kernels.k]
params = [{{ tensor = "o" }}]

[[stages]]
entry = "k"
grid = [1]
block = [32]

{VARIANTS}"""


@pytest.mark.timeout(120)
def test_an_error_in_several_variants_is_told_and_leaves_nothing_behind() -> None:
    """The event loop ends: no compiler is left that it would wait for."""
    files = {"k.cu": 'extern "C" __global__ void k(float* o) { int = N; }', "launch.toml": MANIFEST}
    compiling = Compiler(SANDBOX).compile(Candidate(files=files), "sm_90a")
    with pytest.raises(Rejected) as caught:
        asyncio.run(compiling)
    assert caught.value.verdict is Verdict.COMPILE_ERROR
    assert "k.cu" in caught.value.feedback.summary
