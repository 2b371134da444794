import os

import pytest

from avo_tui.domain import tunables
from avo_tui.domain.candidate import Candidate
from avo_tui.domain.verdict import Verdict
from avo_tui.evaluation.backends.base import Experiment, Rejected
from avo_tui.evaluation.backends.cuda import compiler, cubin
from avo_tui.evaluation.backends.cuda.backend import CudaBackend
from avo_tui.evaluation.backends.cuda.compile_child import count_instructions
from avo_tui.evaluation.backends.cuda.compiled import CudaCompiled
from avo_tui.evaluation.backends.cuda.device import NoGpu, probe
from tests.evaluation.cuda.cuda_helpers import VERDICTS, candidate, context, mutants, small_task

MUTANTS = mutants()
WITHOUT_GPU = [name for name, told in VERDICTS.items() if told["stage"] == "compile"]

PIPELINED = """
extern "C" __global__ void __launch_bounds__(384, 1)
copy(const __grid_constant__ CUtensorMap map, __nv_bfloat16 *o, int seq) {
    extern __shared__ __align__(1024) unsigned char tile[];
    __shared__ alignas(8) uint64_t full;
    const uint32_t bar = (uint32_t)__cvta_generic_to_shared(&full);
    const uint32_t to = (uint32_t)__cvta_generic_to_shared(tile);
    if (threadIdx.x == 0) {
        asm volatile("mbarrier.init.shared::cta.b64 [%0], 1;" ::"r"(bar));
        asm volatile("fence.mbarrier_init.release.cluster;");
    }
    __syncthreads();
    if (threadIdx.x >= 256) {
        asm volatile("setmaxnreg.dec.sync.aligned.u32 40;");
        if (threadIdx.x == 256) {
            asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], 16384;" ::"r"(bar));
            asm volatile("cp.async.bulk.tensor.4d.shared::cluster.global"
                         ".mbarrier::complete_tx::bytes [%0], [%1, {%3, %3, %3, %3}], [%2];"
                         ::"r"(to), "l"(&map), "r"(bar), "r"(0) : "memory");
        }
    } else {
        asm volatile("setmaxnreg.inc.sync.aligned.u32 232;");
        asm volatile("{\\n.reg .pred p;\\nW:\\n"
                     "mbarrier.try_wait.parity.shared::cta.b64 p, [%0], 0;\\n@!p bra W;\\n}"
                     ::"r"(bar) : "memory");
        o[threadIdx.x] = reinterpret_cast<__nv_bfloat16 *>(tile)[threadIdx.x];
    }
}
"""
PIPELINED_MANIFEST = """
[kernels.copy]
params = [{ map = "q" }, { tensor = "o" }, { i32 = "SEQ" }]

[tensor_maps.q]
tensor = "q"
box = [64, 1, 128, 1]
swizzle = "128B"

[[stages]]
entry = "copy"
grid = ["SMS"]
block = [384]
cluster = [2]
shared_memory = "128 * 64 * 2 + 1024"
"""


async def compiled(files: dict[str, str], architecture: str = "sm_90a") -> CudaCompiled:
    backend = CudaBackend(architecture=architecture)
    return await backend.compile(small_task(), Candidate(files=files), context()[0])


@pytest.mark.parametrize("name", WITHOUT_GPU)
async def test_what_needs_no_gpu_is_refused_without_one(name: str) -> None:
    files = dict(candidate(name).files)
    if not name.startswith("manifest"):  # one variant: the other would be refused alike
        files["attention.cu"] = f"#define CAUSAL 0\n{files['attention.cu']}"
        manifest = files["launch.toml"].split("[[variants]]")[0]
        files["launch.toml"] = manifest.replace("macros = { CAUSAL = 0 }", "")
    with pytest.raises(Rejected) as caught:
        await compiled(files)
    assert caught.value.verdict in VERDICTS[name]["verdict"]
    assert caught.value.feedback.summary
    said = caught.value.feedback.model_dump_json()
    assert "root:" not in said
    if caught.value.verdict is Verdict.MANIFEST_ERROR:
        assert caught.value.feedback.summary.startswith("launch.toml")


@pytest.mark.parametrize("architecture", ["sm_90a", "sm_100a"])
async def test_feedback_of_a_pipelined_kernel(architecture: str) -> None:
    found = await compiled(
        {"a.cu": "#include <cuda_bf16.h>\n" + PIPELINED, "launch.toml": PIPELINED_MANIFEST},
        architecture,
    )
    resources = found.resources
    assert resources.registers is not None
    assert resources.registers > 0
    assert resources.spill_bytes == 0
    dynamic = 128 * 64 * 2 + 1024
    assert resources.shared_memory is not None
    assert dynamic + 8 <= resources.shared_memory <= dynamic + 1024  # alignment of the dynamic part
    assert resources.instructions["UTMALDG"] == 1
    assert resources.instructions["USETMAXREG"] == 2
    assert set(resources.kernels) == {"copy"}
    assert resources.warnings == ()
    assert found.plans["full"].stages[0].cluster == (2, 1, 1)


async def test_the_candidate_with_all_of_hopper_in_it() -> None:
    """Every unit of the chip is used, nothing is spilled, and the compiler keeps wgmma parallel."""
    found = await CudaBackend(architecture="sm_90a").compile(
        small_task(), candidate("pipelined"), context()[0]
    )
    resources = found.resources
    wanted = {"HGMMA", "UTMALDG", "UTMASTG", "USETMAXREG", "SYNCS", "STSM"}
    assert wanted <= set(resources.instructions)
    assert resources.spill_bytes == 0
    assert resources.warnings == ()
    for plan in found.plans.values():
        first, second = plan.stages
        assert first.cluster == (2, 1, 1)
        assert second.programmatic
        assert set(plan.workspaces) == {"staged"}


async def test_instructions_of_another_architecture_are_named() -> None:
    with pytest.raises(Rejected) as caught:
        await CudaBackend(architecture="sm_100a").compile(
            small_task(), candidate("pipelined"), context()[0]
        )
    found = caught.value
    assert found.verdict is Verdict.COMPILE_ERROR
    said = found.feedback.summary
    assert said.startswith("sm_100a does not have these instructions: wgmma.")
    assert "tcgen05" in found.feedback.hint


async def test_an_ignored_setmaxnreg_is_said() -> None:
    body = PIPELINED.replace("__launch_bounds__(384, 1)", "")
    found = await compiled(
        {"a.cu": "#include <cuda_bf16.h>\n" + body, "launch.toml": PIPELINED_MANIFEST}
    )
    assert any("setmaxnreg was ignored" in text for text in found.resources.warnings)


async def test_templates_headers_and_variants() -> None:
    found = await compiled(
        {
            "src/a.cu": '#include "part.cuh"\n#include <cstdint>\n#include <cuda/std/cstdint>\n'
            "template <int N> __global__ void fill(__nv_bfloat16 *o, uint64_t n) {\n"
            "  if (n == N) o[0] = value(BM); }\n",
            "src/part.cuh": "#include <cuda_bf16.h>\n"
            "__device__ __nv_bfloat16 value(int n) { return __float2bfloat16(INFINITY + n); }\n",
            "launch.json": '{"macros": {"BM": 64}, "stages": [{"entry": "fill<7>", "grid": [1],'
            ' "block": [1], "params": [{"tensor": "o"}, {"u64": "BM"}]}],'
            ' "variants": [{"when": "CAUSAL", "macros": {"BM": 128}}]}',
        }
    )
    assert len(found.unit.units) == 2
    assert found.plans["causal"].stages[0].params[1].value == 128
    assert found.plans["full"].stages[0].params[1].value == 64
    assert found.launch(small_task().configurations[0])["unit"] == 0


async def test_tunables_of_the_source_are_names_in_the_manifest() -> None:
    files = {
        "a.cu": "#define ROWS 64  // tune: 32 64 128\n"
        'extern "C" __global__ void k(short *o) { if (threadIdx.x < ROWS) o[threadIdx.x] = 1; }\n',
        "launch.toml": '[kernels.k]\nparams = [{ tensor = "o" }]\n'
        '[[stages]]\nentry = "k"\ngrid = ["SEQ // ROWS"]\nblock = ["ROWS"]\n',
    }
    changed = tunables.apply(Candidate(files=files), {"ROWS": "128"})
    after = await compiled(changed.files)
    assert after.plans["full"].stages[0].grid == (8, 1, 1)
    assert after.plans["full"].stages[0].block == (128, 1, 1)


async def test_the_same_candidate_is_compiled_once() -> None:
    backend, (ctx, _) = CudaBackend(architecture="sm_90a"), context()
    files = {"a.cu": 'extern "C" __global__ void k(short *o) { *o = 1; }\n'}
    files["launch.toml"] = (
        '[kernels.k]\nparams = [{ tensor = "o" }]\n'
        '[[stages]]\nentry = "k"\ngrid = [1]\nblock = [1]\n'
    )
    first = await backend.compile(small_task(), Candidate(files=files), ctx)
    again = await backend.compile(small_task(), Candidate(files=files), ctx)
    assert again.unit is first.unit
    image = cubin.read(first.unit.units[0].code)
    assert image.kernels["k"].params == (8,)


async def test_without_a_gpu_check_and_benchmark_say_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    backend, task, (ctx, seen) = CudaBackend(), small_task(), context()
    assert isinstance(await probe(), NoGpu)
    found = await backend.compile(task, task.seed(), ctx)
    for stage in (backend.check, backend.benchmark):
        with pytest.raises(Rejected) as caught:
            await stage(task, found, ctx)
        assert caught.value.verdict is Verdict.NO_DEVICE
        assert "CUDA_VISIBLE_DEVICES" in caught.value.feedback.summary
        assert caught.value.resources == found.resources
    with pytest.raises(Rejected):
        await backend.paired(task, found, found, ctx)
    report = await backend.scratch(task, Experiment(task.seed().files, 5), ctx)
    assert report.compiled
    assert "not run" in report.outcome
    assert seen == []


def test_a_wrong_architecture_is_refused() -> None:
    with pytest.raises(ValueError, match="sm_90a"):
        CudaBackend(architecture="hopper")


def test_bytes_that_are_no_cubin() -> None:
    for data in (b"", b"\x7fELF", b"\x7fELF\x02\x01" + bytes(58), b"x" * 100):
        with pytest.raises(cubin.CubinError):
            cubin.read(data)


def test_the_compilers_log() -> None:
    log = """
ptxas info    : Compiling entry function 'k' for 'sm_90a'
ptxas info    : Function properties for k
ptxas         .     16 bytes stack frame, 24 bytes spill stores, 28 bytes spill loads
ptxas info    : Used 168 registers, used 5 barriers, 128 bytes smem
ptxas info    : (C7510) Potential Performance Loss: wgmma.mma_async instructions are serialized
ptxas info    : Compile time = 7.165 ms
"""
    use = compiler.kernels(log)["k"]
    assert (use["registers"], use["barriers"], use["stack_bytes"]) == (168, 5, 16)
    assert (use["spill_stores"], use["spill_loads"], use["static_shared"]) == (24, 28, 128)
    assert compiler.warnings(log)[0].startswith("C7510: wgmma was serialised")
    assert "Compile time" not in compiler.tidy(log)


def test_instructions_are_counted_with_and_without_predicates() -> None:
    listing = """
        /*0000*/                   HGMMA.64x128x16.F32.BF16 R24, gdesc[UR8], R24 ;
        /*0010*/              @!P0 LDL.64 R2, [R1] ;
        /*0020*/             @UP1  UTMALDG.4D [UR8], [UR4] ;
        /*0030*/                   HGMMA.64x128x16.F32.BF16 R24, gdesc[UR8], R24 ;
"""
    assert count_instructions(listing) == {"HGMMA": 2, "UTMALDG": 1, "LDL": 1}


@pytest.mark.parametrize("name", MUTANTS if os.environ.get("AVO_COMPILE_ALL") else [*MUTANTS][:1])
async def test_every_mutant_compiles(name: str) -> None:
    """So that none is found to be wrong only because it does not compile."""
    backend = CudaBackend(architecture="sm_90a")
    mutant, _ = MUTANTS[name]
    compiled = await backend.compile(small_task(), mutant, context()[0])
    assert compiled.resources.registers
