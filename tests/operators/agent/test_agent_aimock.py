"""The agent against aimock, a server that others wrote: ordinary conversations, and chaos.

Needs node and npm; the package is fetched once into the user's cache.
"""

import asyncio
import json
import os
import re
import shutil
import subprocess
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import filelock
import httpx2
import platformdirs
import pytest

from tests.operators.agent.helpers import step
from tests.operators.fake_workbench import FakeWorkbench
from tests.operators.toy_task import source

VERSION = "1.43.0"
SEED = 1
"""Of node's chance."""


@pytest.fixture(scope="session")
def llmock() -> Path:
    """The command, installed on first use."""
    npm, node = shutil.which("npm"), shutil.which("node")
    if npm is None or node is None:
        pytest.skip("node and npm are not installed; aimock needs them")
    place = Path(platformdirs.user_cache_dir("avo-tui-tests")) / f"aimock-{VERSION}"
    place.mkdir(parents=True, exist_ok=True)
    command = place / "node_modules" / ".bin" / "llmock"
    with filelock.FileLock(str(place) + ".lock"):
        if not command.exists():
            what = [npm, "install", "--no-audit", "--no-fund", "--ignore-scripts"]
            what += ["--fetch-retries", "0", "--prefix", str(place)]
            try:
                subprocess.run(
                    [*what, f"@copilotkit/aimock@{VERSION}"],
                    capture_output=True,
                    text=True,
                    timeout=90,
                    check=True,
                )
            except subprocess.TimeoutExpired:
                pytest.skip("npm does not fetch aimock within 90 s")
            except subprocess.CalledProcessError as error:
                pytest.skip(f"npm cannot fetch aimock: {error.stderr.strip()[-300:]}")
    return command


Running = Callable[..., Any]


@pytest.fixture
def aimock(llmock: Path, tmp_path: Path) -> Running:
    @asynccontextmanager
    async def running(fixtures: list[dict[str, Any]], *options: str) -> AsyncIterator[str]:
        file = tmp_path / "fixtures.json"
        file.write_text(json.dumps({"fixtures": fixtures}))
        process = await asyncio.create_subprocess_exec(
            *("node", f"--random-seed={SEED}", str(llmock)),  # the same chaos each time
            *("-p", "0", "-h", "127.0.0.1", "-f", str(file), *options),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env={**os.environ, "AIMOCK_STRICT_TURN_INDEX": "1"},
        )
        assert process.stdout is not None
        said = b""
        draining: asyncio.Task[bytes] | None = None
        try:
            async with asyncio.timeout(240):
                while (found := re.search(rb"listening on (http://\S+)", said)) is None:
                    line = await process.stdout.readline()
                    assert line, said.decode()
                    said += line
            draining = asyncio.create_task(process.stdout.read())
            yield found[1].decode()
        finally:
            process.kill()
            await process.wait()
            if draining is not None:
                await draining

    return running


def calls(*pairs: tuple[str, dict[str, Any]], words: str = "") -> dict[str, Any]:
    response: dict[str, Any] = {"toolCalls": [{"name": n, "arguments": a} for n, a in pairs]}
    return {**response, "content": words} if words else response


CONVERSATION = [
    {
        "match": {"turnIndex": 0},
        "response": calls(
            ("set_plan", {"title": "Make it faster", "items": [{"text": "edit"}]}),
            ("list_versions", {}),
            words="I begin with a plan.",
        ),
    },
    {
        "match": {"turnIndex": 1},
        "response": calls(("write_file", {"file": "kernel.cpp", "text": source(1.3)})),
    },
    {"match": {"turnIndex": 2}, "response": calls(("evaluate", {"title": "one point three"}))},
    {"match": {"turnIndex": 3}, "response": calls(("submit", {"summary": "faster by a third"}))},
]


async def test_an_ordinary_conversation(aimock: Running) -> None:
    bench = FakeWorkbench()
    async with aimock(CONVERSATION) as url:
        outcome = await step(bench, None, base_url=url)
        async with httpx2.AsyncClient() as client:
            journal = (await client.get(f"{url}/__aimock/journal")).json()
    assert outcome.outcome == "committed", bench.troubles()
    assert bench.reading.versions()[1].plan.startswith("Make it faster")
    bodies = [entry["body"] for entry in journal if "messages" in str(entry.get("path", ""))]
    assert len(bodies) == 4


async def test_chaos_does_not_end_the_step(aimock: Running) -> None:
    """Every kind of trouble at once, from a server that was not written for this test."""
    bench = FakeWorkbench()
    chaos = ("--chaos-drop", "0.3", "--chaos-disconnect", "0.2", "--chaos-ratelimit", "0.2")
    async with aimock(CONVERSATION, *chaos, "--chaos-malformed", "0.15") as url:
        outcome = await step(bench, None, base_url=url, breaker=30)
    assert outcome.outcome == "committed", bench.troubles()
    assert bench.parked, "there was no chaos: choose another SEED"
