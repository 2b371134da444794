"""The extensions of the processor that are named to an agent are those that a candidate can use."""

import platform

import pytest

from avo_tui.domain.candidate import Candidate
from avo_tui.domain.questions import CheckQuestion
from avo_tui.domain.verdict import Verdict
from avo_tui.evaluation.backends.cpp import machine
from avo_tui.evaluation.backends.cpp.toolchain import cpu_features
from avo_tui.evaluation.pipeline import Pipeline
from tests.evaluation.evaluation_support import CANDIDATES, needs_compiler

TILES = r"""
    alignas(64) unsigned char shapes[64] = {1};
    for (int tile = 0; tile < 3; ++tile) shapes[16 + 2 * tile] = 64, shapes[48 + tile] = 16;
    asm volatile("ldtilecfg %0\n\ttilezero %%tmm0\n\ttilezero %%tmm1\n\ttilezero %%tmm2\n\t"
                 "PRODUCT" "tilerelease" :: "m"(shapes));
"""
USES = {
    "avx2": 'asm volatile("vpaddd %ymm0, %ymm0, %ymm0");',
    "fma": 'asm volatile("vfmadd213ps %ymm0, %ymm0, %ymm0");',
    "avx512f": 'asm volatile("vaddps %zmm0, %zmm0, %zmm0");',
    "avx512_bf16": 'asm volatile("vdpbf16ps %zmm0, %zmm0, %zmm0");',
    "amx_tile": TILES.replace('"PRODUCT"', ""),
    "amx_bf16": TILES.replace("PRODUCT", r"tdpbf16ps %%tmm2, %%tmm1, %%tmm0\n\t"),
    "amx_int8": TILES.replace("PRODUCT", r"tdpbssd %%tmm2, %%tmm1, %%tmm0\n\t"),
    "a call that asks for AMX": 'long got; asm volatile("syscall" : "=a"(got) '
    ': "a"(158), "D"(0x1023), "S"(18) : "rcx", "r11", "memory");',
}

USED = """
#include "task.h"
#define attention once
#include "honest.cpp.h"
#undef attention
extern "C" void attention(const float* q, const float* k, const float* v, float* out,
                          int64_t batch, int64_t heads, int64_t sequence, bool causal) {
    INSTRUCTION
    once(q, k, v, out, batch, heads, sequence, causal);
}
"""


@needs_compiler
@pytest.mark.skipif(platform.machine() != "x86_64", reason="instructions of x86")
@pytest.mark.parametrize("name", USES)
async def test_what_is_listed_runs(name: str, pipeline: Pipeline) -> None:
    known = "amx_tile" if name.startswith("a call") else name
    if known not in cpu_features():
        pytest.skip(f"this processor has no {name}")
    used = USED.replace("INSTRUCTION", USES[name])
    kernel = (CANDIDATES / "honest.cpp").read_text().replace('#include "task.h"', "")
    files = {
        "kernel.cpp": used,
        "honest.cpp.h": kernel,
        "honest.h": (CANDIDATES / "honest.h").read_text(),
    }
    report = await pipeline.ask(
        "tiny_attention", CheckQuestion(files=Candidate(files=files).files, quick=True)
    )
    listed = machine.facts(1)[0].removeprefix("vector extensions: ").split(", ")
    assert (report.verdict is Verdict.CORRECT) == (known in listed), report.feedback
