"""Devices over a real ssh line: nothing but the package is needed there, and no orphan is left."""

import asyncio
import os
import shutil
import signal
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import psutil
import pytest
import pytest_asyncio

import avo_tui
from avo_tui.domain.questions import CheckQuestion, SeedQuestion
from avo_tui.domain.run_settings import RunSettings
from avo_tui.domain.verdict import Verdict
from avo_tui.evaluation.evaluators import make_evaluator
from avo_tui.evaluation.ports import EvaluatorError
from avo_tui.evaluation.workers import fleet as fleet_module
from avo_tui.evaluation.workers import parcels
from avo_tui.evaluation.workers.fleet import Fleet
from tests.evaluation.evaluation_support import TASKS, needs_compiler
from tests.evaluation.workers import sshd

ROOT = Path(avo_tui.__file__).resolve().parents[1]
pytestmark = [
    pytest.mark.skipif(sshd.MISSING is not None, reason=str(sshd.MISSING)),
    pytest.mark.asyncio(loop_scope="module"),
]
TASK = "sent_attention"


@pytest.fixture(scope="module")
def kernels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a task that no other machine has: several files, and none outside of it."""
    folder = tmp_path_factory.mktemp("kernels") / TASK
    shutil.copytree(TASKS / "tiny_attention", folder)
    shutil.copytree(ROOT / "kernels" / "attention_cpu", folder / "attention_cpu")
    text = (folder / "task.py").read_text()
    text = text.replace('parents[4] / "kernels"', "parent").replace("tiny_attention", TASK)
    (folder / "task.py").write_text(text)
    return folder.parent


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[sshd.Sshd]:
    """A server whose other side has an empty home: no task of ours is known there."""
    folder = tmp_path_factory.mktemp("ssh")
    home = tmp_path_factory.mktemp("home")
    for path in (home, *home.parents[:2]):
        path.chmod(0o711)
    environment = {
        "PYTHONPATH": str(ROOT), "AVO_CACHE": str(home), "XDG_RUNTIME_DIR": str(home),
        "AVO_SCRATCH": str(home),
    }  # fmt: skip
    with sshd.running(folder, environment) as running:
        yield running


def url(server: sshd.Sshd, more: str = "") -> str:
    return (
        f"ssh://127.0.0.1:{server.port}?python={sys.executable}&config={server.config}&devices=0"
        f"{more}"
    )


def remote_workers(server: sshd.Sshd) -> set[int]:
    """Workers that came over a line to this server."""
    pids = set()
    for process in psutil.process_iter(["pid", "cmdline", "environ"]):
        line = process.info["cmdline"] or []
        connection = (process.info["environ"] or {}).get("SSH_CONNECTION", "")
        if "--serve" in line and connection.endswith(f" {server.port}"):
            pids.add(int(process.info["pid"]))
    return pids


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def fleet(server: sshd.Sshd, kernels: Path) -> AsyncIterator[Fleet]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AVO_KERNELS", str(kernels))
        patch.setenv("ANTHROPIC_API_KEY", "sk-secret-of-the-test")
        patch.setattr(fleet_module, "FIRST_RETRY", 0.05)
        evaluator = make_evaluator(RunSettings(evaluator=url(server)), TASK)
        assert isinstance(evaluator, Fleet)
        async with evaluator:
            yield evaluator


@needs_compiler
async def test_a_task_that_is_not_there_goes_over_the_line_and_keys_do_not(
    fleet: Fleet, server: sshd.Sshd
) -> None:
    report = await fleet.ask(
        TASK, CheckQuestion(files=(await fleet.ask(TASK, SeedQuestion())).files, quick=True)
    )
    assert report.verdict is Verdict.CORRECT, report.feedback
    assert report.worker == f"ssh://127.0.0.1:{server.port}:0"
    (worker,) = remote_workers(server)
    environment = Path(f"/proc/{worker}/environ").read_bytes()
    assert b"sk-secret" not in environment and b"SSH_CONNECTION" in environment
    assert list(psutil.Process(worker).cpu_affinity() or []) == [0]


@needs_compiler
async def test_a_worker_lost_over_there_is_replaced_and_the_work_is_done_again(
    fleet: Fleet, server: sshd.Sshd
) -> None:
    seed = await fleet.ask(TASK, SeedQuestion())
    (worker,) = remote_workers(server)
    reached = asyncio.Event()
    task = asyncio.ensure_future(
        fleet.ask(TASK, CheckQuestion(files=seed.files), lambda _: reached.set())
    )
    await asyncio.wait_for(reached.wait(), 240)
    os.kill(worker, signal.SIGKILL)
    report = await task
    assert report.verdict is Verdict.CORRECT, report.feedback
    assert remote_workers(server) and worker not in remote_workers(server)
    assert fleet.workers()[0].losses >= 1


async def test_a_host_that_cannot_be_reached_is_one_sentence(
    server: sshd.Sshd, kernels: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AVO_KERNELS", str(kernels))
    away = f"ssh://127.0.0.1:1?config={server.config}"
    fleet = make_evaluator(RunSettings(evaluator=away), TASK)
    with pytest.raises(EvaluatorError, match=r"no device can be used: .*refused"):
        await fleet.start()
    await fleet.close()


async def test_another_program_over_there_is_refused_before_the_first_request(
    server: sshd.Sshd, kernels: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AVO_KERNELS", str(kernels))
    monkeypatch.setattr(parcels, "program_key", lambda: "0" * 64)
    fleet = make_evaluator(RunSettings(evaluator=url(server)), TASK)
    with pytest.raises(EvaluatorError, match=r"another avo-tui.*install the same"):
        await fleet.start()
    await fleet.close()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("ssh://", "name a host"),
        ("ssh://-oProxyCommand=x", "name a host"),
        ("ssh://me:secret@host", "password"),
        ("ssh://host?pyton=x", "knows no 'pyton'"),
        ("ssh://host:port", "is no port"),
        ("carrier://host", "no scheme"),
        ("local:?devices=0,0", "named twice"),
        ("local:?devices=0-2,1", "core 1 is in two devices"),
        ("local:?devices=0,,1", "nothing stands beside one of the commas"),
        ("local:?devices=", "names no device"),
        ("local://zz", "takes no name"),
    ],
)
async def test_odd_urls_are_refused_in_one_sentence(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=words) as error:
        make_evaluator(RunSettings(evaluator=text), TASK)
    assert "secret" not in str(error.value) and "\n" not in str(error.value)
