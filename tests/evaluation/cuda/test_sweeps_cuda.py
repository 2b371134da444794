"""A sweep of a CUDA candidate: source, launch manifest and the compiler's words agree."""

from __future__ import annotations

import pytest

from avo_tui.domain.candidate import Candidate
from avo_tui.evaluation.backends.base import Rejected
from avo_tui.evaluation.backends.cuda.backend import CudaBackend
from avo_tui.evaluation.backends.cuda.compiled import CudaCompiled
from avo_tui.operators.toolbox.variants import defined
from tests.evaluation.cuda.cuda_helpers import context, small_task

PARAMS = '[kernels.k]\nparams = [{ tensor = "o" }]\n'
STAGE = '[[stages]]\nentry = "k"\ngrid = [1]\nblock = ["ROWS"]\nshared_memory = "ROWS * 256"\n'
KERNEL = 'extern "C" __global__ void __launch_bounds__(ROWS) k(short *o) { *o = ROWS; }\n'


async def compiled(candidate: Candidate) -> CudaCompiled:
    return await CudaBackend(architecture="sm_90a").compile(small_task(), candidate, context()[0])


@pytest.mark.parametrize(
    ("source", "manifest"),
    [
        ("", f"macros = {{ FAST = 1, ROWS = 64 }}\n{PARAMS}{STAGE}"),
        ("#ifndef ROWS\n#define ROWS 64\n#endif\n", f"[macros]\nROWS = 64\n\n{PARAMS}{STAGE}"),
        ("#define ROWS 64  // tune: 32 64 128\n", f"{PARAMS}{STAGE}"),
        ("#define ROWS 64  // tune: 32 64 128\n", f"[macros]\nROWS = 64\n\n{PARAMS}{STAGE}"),
        ("", f'[macros]\nROWS = 32\n\n{PARAMS}{STAGE}[[variants]]\nwhen = "CAUSAL"\n'
         "macros = { ROWS = 64 }\n"),
        ("", '{"macros": {"ROWS": 64}, "kernels": {"k": {"params": [{"tensor": "o"}]}}, "stages":'
         ' [{"entry": "k", "grid": [1], "block": ["ROWS"], "shared_memory": "ROWS * 256"}]}'),
    ],
    ids=["inline", "guarded", "declared", "both", "variants", "json"],
)  # fmt: skip
async def test_the_manifest_takes_the_value_of_the_variant(source: str, manifest: str) -> None:
    name = "launch.json" if manifest.startswith("{") else "launch.toml"
    origin = Candidate(files={"a.cu": source + KERNEL, name: manifest})
    found = await compiled(defined(origin, {"ROWS": "128"}))
    for plan in found.plans.values():
        assert plan.stages[0].block == (128, 1, 1)
        assert plan.stages[0].shared_memory == 128 * 256


def test_a_macro_that_is_called_like_a_key_of_the_manifest_is_told_from_it() -> None:
    manifest = f"[macros]\nshared_memory = 64\n\n{PARAMS}{STAGE}"
    origin = Candidate(files={"a.cu": KERNEL, "launch.toml": manifest})
    with pytest.raises(ValueError, match=r"shared_memory stands in launch\.toml in a form"):
        defined(origin, {"shared_memory": "128"})


async def test_a_log_quotes_the_lines_that_the_author_wrote() -> None:
    source = "\n".join(["", KERNEL.replace("*o = ROWS", "*o = PAD + missing"), ""])
    files = {"a.cu": source, "launch.toml": f"macros = {{ ROWS = 64 }}\n{PARAMS}{STAGE}"}
    with pytest.raises(Rejected) as caught:
        await compiled(defined(Candidate(files=files), {"PAD": "8", "ROWS": "128"}))
    log = caught.value.feedback.log
    assert "a.cu(2)" in log and "k(short *o)" in log
