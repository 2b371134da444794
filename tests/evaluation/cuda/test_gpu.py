"""What only a GPU can show. Every candidate of the folder gets the verdict that it must get."""

from collections.abc import AsyncIterator

import pytest

from avo_tui.domain.candidate import Candidate
from avo_tui.domain.verdict import Verdict
from avo_tui.evaluation.backends.base import Experiment, Rejected
from avo_tui.evaluation.backends.cuda.backend import CudaBackend
from avo_tui.evaluation.breadth import breadth_cases
from tests.evaluation.cuda.cuda_helpers import VERDICTS, candidate, context, small_task

pytestmark = [pytest.mark.gpu, pytest.mark.xdist_group("gpu")]

ON_GPU = [name for name, told in VERDICTS.items() if told["stage"] != "compile"]
PRINTS = 'extern "C" __global__ void k(__nv_bfloat16 *o) { printf("row %d\\n", threadIdx.x); }\n'
PRINTS_MANIFEST = (
    '[kernels.k]\nparams = [{ tensor = "o" }]\n[[stages]]\nentry = "k"\ngrid = [1]\nblock = [2]\n'
)


@pytest.fixture
async def backend() -> AsyncIterator[CudaBackend]:
    found = CudaBackend()
    yield found
    await found.close()


@pytest.mark.parametrize("name", ON_GPU)
async def test_every_candidate_gets_its_verdict(backend: CudaBackend, name: str) -> None:
    task, (ctx, seen) = small_task(), context()
    verdict, stage = Verdict.CORRECT, "compile"
    try:
        compiled = await backend.compile(task, candidate(name), ctx)
        stage = "check"
        await backend.check(task, compiled, ctx)
        stage = "benchmark"
        await backend.benchmark(task, compiled, ctx)
    except Rejected as rejection:
        verdict = rejection.verdict
        assert rejection.feedback.summary
    assert verdict in VERDICTS[name]["verdict"]
    assert VERDICTS[name]["stage"] in {stage, "any"}
    if verdict is Verdict.CORRECT:
        assert sum(p.stage == "benchmark" for p in seen) == len(task.configurations)


async def test_a_candidate_measured_against_itself_is_as_fast(backend: CudaBackend) -> None:
    task, (ctx, _) = small_task(), context()
    compiled = await backend.compile(task, candidate("honest"), ctx)
    found = await backend.paired(task, compiled, compiled, ctx)
    assert set(found.configurations) == {"full", "causal"}
    # calls of some 10 µs: their own spread says how exactly the ratio can be known
    assert found.gain == pytest.approx(1.0, abs=max(0.03, 3 * found.noise)), found
    assert found.gain == pytest.approx(1.0, abs=0.25), found


async def test_other_inputs_and_sizes_are_timed_beside_the_score(backend: CudaBackend) -> None:
    task, (ctx, _) = small_task(), context()
    compiled = await backend.compile(task, candidate("honest"), ctx)
    cases = breadth_cases(task)
    score = await backend.breadth(task, compiled, ctx, cases)
    assert len(score.configurations) == len(cases) > 1
    assert all(row.ratio > 0 for row in score.configurations)


@pytest.mark.parametrize("turned", [False, True])
async def test_a_liar_is_found_in_a_paired_measurement(backend: CudaBackend, turned: bool) -> None:
    task, (ctx, _) = small_task(), context()
    honest = await backend.compile(task, candidate("honest"), ctx)
    liar = await backend.compile(task, candidate("plays_the_lottery"), ctx)
    pair = (honest, liar) if turned else (liar, honest)
    with pytest.raises(Rejected) as caught:
        await backend.paired(task, *pair, ctx)
    assert caught.value.verdict is Verdict.SUSPICIOUS


async def test_nothing_of_a_hidden_shape_is_told(backend: CudaBackend) -> None:
    task, (ctx, seen) = small_task(), context()
    compiled = await backend.compile(task, candidate("tells_hidden_shapes"), ctx)
    with pytest.raises(Rejected) as caught:
        await backend.check(task, compiled, ctx)
    told = caught.value.feedback.model_dump_json() + "".join(p.model_dump_json() for p in seen)
    assert "SHAPE" not in told
    assert "384" not in told


async def test_a_scratch_program_shows_what_it_prints(backend: CudaBackend) -> None:
    files = {"a.cu": "#include <cuda_bf16.h>\n" + PRINTS, "launch.toml": PRINTS_MANIFEST}
    report = await backend.scratch(small_task(), Experiment(files, 10), context()[0])
    assert report.compiled
    assert "row 1" in report.stdout


async def test_a_process_that_was_killed_leaves_the_next_one_alone(backend: CudaBackend) -> None:
    task, (ctx, _) = small_task(), context(quick=True)
    for name in ("wild_pointer", "endless_loop"):
        compiled = await backend.compile(task, candidate(name), ctx)
        with pytest.raises(Rejected):
            await backend.check(task, compiled, ctx)
    compiled = await backend.compile(task, candidate("honest"), ctx)
    assert all(c.ok for c in await backend.check(task, compiled, ctx))


async def test_an_empty_kernel_is_wrong_everywhere(backend: CudaBackend) -> None:
    files = {"a.cu": 'extern "C" __global__ void k(short *o) {}\n', "launch.toml": PRINTS_MANIFEST}
    task, (ctx, _) = small_task(), context(quick=True)
    compiled = await backend.compile(task, Candidate(files=files), ctx)
    with pytest.raises(Rejected) as caught:
        await backend.check(task, compiled, ctx)
    assert "never written" in caught.value.feedback.detail
