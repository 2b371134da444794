"""Devices that are workers of a real Dask cluster on this machine."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from urllib.parse import quote

import psutil
import pytest
import pytest_asyncio

pytest.importorskip("distributed", reason="dask is not installed")

from avo_tui_dask import site

from avo_tui.domain.questions import CheckQuestion, CompileQuestion, SeedQuestion
from avo_tui.domain.report import EvaluationProgress
from avo_tui.domain.run_settings import RunSettings
from avo_tui.domain.verdict import Verdict
from avo_tui.evaluation.evaluators import make_evaluator
from avo_tui.evaluation.ports import EvaluatorError
from avo_tui.evaluation.workers import fleet as fleet_module
from avo_tui.evaluation.workers.fleet import Fleet
from plugins.dask.tests import dask_processes
from tests.evaluation.evaluation_support import TASKS, needs_compiler

pytestmark = pytest.mark.asyncio(loop_scope="module")
TASK = "tiny_attention"


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, int]]:
    """The address of a scheduler with one worker, and the process that starts the worker again
    when it dies."""
    folder = tmp_path_factory.mktemp("dask")
    scheduler, address = dask_processes.start_scheduler(folder)
    worker = dask_processes.run(folder, dask_processes.worker_command(folder, "one"))
    yield address, worker.pid
    for process in (worker, scheduler):
        dask_processes.end(process)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def fleet(cluster: tuple[str, int]) -> AsyncIterator[Fleet]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AVO_KERNELS", str(TASKS))
        patch.setattr(fleet_module, "FIRST_RETRY", 0.1)
        async with asyncio.timeout(400):
            while True:  # until the worker has reported to its scheduler
                evaluator = make_evaluator(RunSettings(evaluator=f"dask://{cluster[0]}"), TASK)
                assert isinstance(evaluator, Fleet)
                try:
                    await evaluator.start()
                    break
                except EvaluatorError as error:
                    assert "Dask" in str(error), error
                    await evaluator.close()
                    await asyncio.sleep(0.2)
        yield evaluator
        await evaluator.close()


@needs_compiler
async def test_an_evaluation_with_its_signs_of_life(fleet: Fleet) -> None:
    seen: list[EvaluationProgress] = []
    report = await fleet.ask(
        TASK, CheckQuestion(files=(await fleet.ask(TASK, SeedQuestion())).files), seen.append
    )
    assert report.verdict is Verdict.CORRECT, report.feedback
    assert report.worker == "dask:one"
    assert "check" in {p.stage for p in seen}


@needs_compiler
async def test_a_dask_worker_that_dies_comes_back_and_the_work_is_done_again(
    fleet: Fleet, cluster: tuple[str, int]
) -> None:
    nanny = psutil.Process(cluster[1])
    (worker,) = [p for p in nanny.children() if "spawn_main" in " ".join(p.cmdline())]
    reached = asyncio.Event()
    seed = await fleet.ask(TASK, SeedQuestion())
    task = asyncio.ensure_future(
        fleet.ask(TASK, CheckQuestion(files=seed.files), lambda _: reached.set())
    )
    await asyncio.wait_for(reached.wait(), 400)
    worker.kill()
    report = await asyncio.wait_for(task, 400)
    assert report.verdict is Verdict.CORRECT, report.feedback


@needs_compiler
async def test_a_cancelled_request_leaves_the_worker_free(fleet: Fleet) -> None:
    seed = await fleet.ask(TASK, SeedQuestion())
    reached = asyncio.Event()
    task = asyncio.ensure_future(
        fleet.ask(TASK, CheckQuestion(files=seed.files), lambda _: reached.set())
    )
    await asyncio.wait_for(reached.wait(), 400)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (await asyncio.wait_for(fleet.ask(TASK, CompileQuestion(files=seed.files)), 400)).correct


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (RunSettings(evaluator="dask://node1"), "scheduler with its port"),
        (RunSettings(evaluator="dask://node1:1/more"), "scheduler with its port"),
        (RunSettings(evaluator="dask:scheduler.json"), "its file with the whole path"),
        (RunSettings(evaluator="dask://node1:1", devices="0"), "means nothing to dask"),
    ],
)
async def test_odd_urls_are_one_sentence(settings: RunSettings, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        make_evaluator(settings, TASK)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "cannot be read: No such file"),
        ("", "names no address"),
        ('{"address": null}', "no Dask scheduler"),
        ("[]", "names no address"),
        ('{"address": "tcp://127.0.0.1:1"}', "no Dask scheduler at tcp://127.0.0.1:1"),
        ('{"address": "not an address"}', "no Dask scheduler at not an address"),
    ],
)
async def test_a_useless_scheduler_file_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str | None, words: str
) -> None:
    monkeypatch.setattr(site, "CONNECT_SECONDS", 0.1)
    file = tmp_path / "scheduler of mine.json"
    if content is not None:
        file.write_text(content)
    url = "dask://" + quote(str(file))
    fleet = make_evaluator(RunSettings(evaluator=url), TASK)
    with pytest.raises(EvaluatorError, match=words) as error:
        await fleet.start()
    assert "\n" not in str(error.value)
    await fleet.close()
