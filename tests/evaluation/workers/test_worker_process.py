"""How the two ends of a line notice that the other one is gone without a word."""

import asyncio
import json
import re
import sys
from collections.abc import Sequence

import psutil
import pytest

from avo_tui.evaluation.ports import EvaluatorError
from avo_tui.evaluation.workers import ssh
from avo_tui.evaluation.workers.link import WorkerGoneError, WorkerLink

SILENT = """
import sys, time
print('{"id": null, "ready": true}', flush=True)
sys.stdin.readline()
while True: time.sleep(1000)
"""
DEAF = """
import sys
print("no such module", file=sys.stderr)
"""


ANSWERING = """
import os, sys
print('{"id": null, "ready": true}', flush=True)
sys.stdin.readline()
os.write(2, b"x" * (1 << 20) + b"\\x1b[31m last words")
%s
sys.stdout.flush()
sys.stdin.readline()
"""


def script(text: str) -> Sequence[str]:
    return (sys.executable, "-S", "-c", text)


async def test_a_worker_that_falls_silent_is_killed_and_its_request_is_lost() -> None:
    link = WorkerLink(script(SILENT), lease=0.3)
    with pytest.raises(WorkerGoneError, match="fell silent"):
        await asyncio.wait_for(link.request({"op": "machine"}), 240)
    pid = link.pid
    await link.close()
    assert pid is not None and link.pid is None


STARTS_A_WORKER = """
import os, subprocess, sys
read, write = os.pipe()  # the worker holds both ends, so its input never ends
words = [sys.executable, "-m", "avo_tui.evaluation", "--serve"]
subprocess.Popen(words, stdin=read, pass_fds=[write]) and sys.stdin.read()
"""


async def test_a_worker_ends_with_the_process_that_started_it() -> None:
    """Also where its input stays open, as for one that is busy importing torch."""
    engine = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", STARTS_A_WORKER),
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert engine.stdout is not None
    pid = None
    while pid is None:  # ends: with the output of both, or the time of the test
        pid = json.loads(await engine.stdout.readline() or "0").get("pid")
    worker = psutil.Process(pid)
    engine.kill()
    await asyncio.to_thread(worker.wait, 120)


async def test_a_worker_that_does_not_start_says_its_last_words() -> None:
    link = WorkerLink(script(DEAF))
    with pytest.raises(EvaluatorError, match="no such module"):
        await link.request({"op": "machine"})
    await link.close()


@pytest.mark.parametrize(
    ("act", "words"),
    [
        ("print('Welcome')", "it wrote 'Welcome', which is no JSON"),
        ("sys.stdout.write('x' * (17 << 20))", "a line of more than 16 MiB"),
        (
            'print(\'{"id": 1, "error": "", "kind": "cancelled"}\')',
            "ended a request that nobody cancelled",
        ),
        ("sys.exit()", "ended unexpectedly"),
    ],
)
async def test_what_a_worker_answers_wrongly_is_its_loss(act: str, words: str) -> None:
    link = WorkerLink(script(ANSWERING % act))
    with pytest.raises(WorkerGoneError, match=re.escape(words)):
        await asyncio.wait_for(link.request({"op": "machine"}), 240)
    worker = link._worker
    await link.close()
    assert worker is not None
    log = "".join(worker.last_words)
    assert len(log) <= 4000 and "\x1b" not in log


async def test_a_machine_without_the_program_is_told_what_to_do(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    link = WorkerLink((sys.executable, "-S", "-I", "-m", "avo_tui.evaluation", "--serve"))
    with pytest.raises(EvaluatorError, match=r"install avo-tui .*python=.*No module named"):
        await link.request({"op": "machine"})
    await link.close()


async def test_a_line_gets_the_variables_that_it_needs_and_no_secret(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """ssh's client sends what its configuration names (`SendEnv`), of what it has."""
    monkeypatch.setenv("MY_TOKEN", "sk-secret-of-the-test")
    monkeypatch.setenv("LANG", "sent-by-many-configurations")
    told = "import os, sys; print('No module named', sorted(os.environ), file=sys.stderr)"
    for variables, sees in ((None, True), (ssh.CLIENTS, False)):
        link = WorkerLink(script(told), variables=variables)
        with pytest.raises(EvaluatorError) as error:
            await link.hello()
        assert ("LANG" in str(error.value)) is sees and "PATH" in str(error.value)
        assert "MY_TOKEN" not in str(error.value)
        await link.close()


async def test_a_command_that_is_not_there_is_one_sentence() -> None:
    with pytest.raises(EvaluatorError, match="cannot be run"):
        await WorkerLink(("/nowhere/ssh",)).request({"op": "machine"})


async def test_a_worker_that_hears_nothing_ends_by_itself() -> None:
    """As on a machine whose network is gone: nobody else would end it."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "avo_tui.evaluation", "--serve", "--lease", "0.3",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    lines = []
    async with asyncio.timeout(240):
        while line := await process.stdout.readline():  # ends: with the process
            lines.append(json.loads(line))
        assert await process.wait() == 0
    assert lines[0]["ready"] and len(lines[0]["program"]) == 64
    assert all(line.get("beat") for line in lines[1:])
