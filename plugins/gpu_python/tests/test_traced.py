"""What every language whose host code is run once to be recorded must do: CuTe DSL and Triton.

Compiled without a GPU; on a GPU also run through the conformance suite.
"""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from avo_tui.domain.verdict import Verdict
from avo_tui.evaluation.conformance import KINDS, examine
from avo_tui.evaluation.pipeline import Pipeline
from plugins.gpu_python.tests.traced import CHANGES, candidate, compiled, refused, write

MODULE = {"cute": "cutlass.cute", "triton": "triton"}
HEAD = "import cutlass\nimport cutlass.cute as cute\n"
LINE = {
    "cute": f"{HEAD}@cute.jit\ndef launch(q: cute.Tensor, o: cute.Tensor):\n",
    "triton": "def launch(q, o):\n",
}
KERNEL = {
    "cute": f"{HEAD}@cute.kernel\ndef f(x: cute.Tensor):\n"
    f"    x[0, 0, 0, 0] = cutlass.BFloat16(1.0)\n{LINE['cute'].removeprefix(HEAD)}    ",
    "triton": f"import triton\n@triton.jit\ndef f(q):\n    pass\n{LINE['triton']}    ",
}
RUN = {"cute": "f(q).launch(grid=(1, 1, 1), block=(32, 1, 1))\n", "triton": "f[(1,)](q)\n"}
SAYS = {"cute": "no", "triton": "OSError: no"}
DEPTH = "launch wants depth; it can have: BATCH, CAUSAL"
AUTOTUNE = "@triton.jit", "@triton.autotune([triton.Config({})], key=[])\n@triton.jit"
WRONG = [
    *(
        row
        for name in MODULE
        for row in (
            (name, "x = 1\n", "must define the function launch"),
            (name, f"{LINE[name]}    raise OSError('no')\n", SAYS[name]),
            (name, f"import nothing_of_that_name\n{LINE[name]}    pass\n", "nothing_of_that_name"),
            (name, f"{LINE[name]}    pass\n", "launch launches nothing"),
            (name, KERNEL[name] + RUN[name], "no kernel is given the output 'o'"),
        )
    ),
    ("cute", "def launch(q, o):\n    pass\n", "launch must be decorated with @cute.jit"),
    ("cute", f"{HEAD}@cute.jit\ndef launch(q, depth):\n    pass\n", DEPTH),
    ("cute", f"{KERNEL['cute']}x = nowhere\n    {RUN['cute']}", "nowhere"),
    ("cute", f"{KERNEL['cute']}f(o).launch(grid=(3, 1, 1), block=(32, 1, 1), cluster=(2, 1, 1))\n",
     "do not divide"),
    ("triton", "def launch(q, o, depth):\n    pass\n", DEPTH),
    ("triton", KERNEL["triton"].replace("pass", "x = nowhere") + RUN["triton"], "nowhere"),
    ("triton", f"{LINE['triton']}    q.data_ptr()\n", "a tensor has no address here"),
    ("triton", KERNEL["triton"].replace(*AUTOTUNE) + RUN["triton"], "instead of triton.autotune"),
]  # fmt: skip


@pytest.mark.parametrize(("language", "text", "says"), WRONG)
def test_what_is_wrong_is_said_in_a_sentence(language: str, text: str, says: str) -> None:
    pytest.importorskip(MODULE[language])
    error = refused(language, text)
    assert error.verdict is Verdict.COMPILE_ERROR
    assert says in error.feedback.summary + error.feedback.log
    assert error.feedback.summary and "\x1b" not in error.feedback.summary + error.feedback.log


@pytest.mark.skipif(not os.environ.get("AVO_COMPILE_ALL"), reason="AVO_COMPILE_ALL is not set")
@pytest.mark.parametrize("kind", sorted({*KINDS} - {"does_not_compile"}))
@pytest.mark.parametrize("language", CHANGES)
def test_candidates_of_every_kind_compile(language: str, kind: str) -> None:
    assert compiled(language, dict(candidate(language, kind).files)).resources.registers


@pytest.mark.parametrize("language", CHANGES)
def test_there_is_a_candidate_of_every_kind(language: str) -> None:
    assert set(CHANGES[language]) == set(KINDS)
    assert all(candidate(language, kind).files for kind in KINDS)


@pytest.mark.gpu
@pytest.mark.parametrize("language", CHANGES)
def test_every_kind_gets_its_verdict(language: str, tmp_path: Path) -> None:
    pytest.importorskip(MODULE[language])
    write(language, tmp_path)

    async def rows() -> list[str]:
        pipeline = Pipeline(None)
        try:
            examined = examine(pipeline, f"mha_forward@{language}", tmp_path)
            return [f"{r.kind}: {r.verdict} {r.words}" async for r in examined if not r.ok]
        finally:
            await pipeline.close()

    assert asyncio.run(rows()) == []
