"""The whole of it: the app in tmux, an engine process, the agent against a server on loopback."""

import asyncio
import os
import shlex
import shutil
import subprocess
import sys
import uuid
from pathlib import Path

import pytest

from avo_tui.domain.budget import Budget, Caps
from avo_tui.domain.commands import Rewind, SendHint
from avo_tui.domain.run_settings import RunSettings
from avo_tui.store import SessionReader, send_command
from tests.evolution.laboratory import Laboratory
from tests.loopback.server import Answer, Behaviour, Body, Broken, Server, text
from tests.operators.agent.test_agent_engine import Mind
from tests.waiting import until

EVOLUTION = Path(__file__).resolve().parents[2] / "evolution"


class Screen:
    """The app in a tmux of its own."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self._socket = f"avo-test-{uuid.uuid4().hex[:8]}"
        words = f"{shlex.quote(sys.executable)} -m avo_tui.cli attach {folder.name}; sleep 600"
        size = ("-x", "150", "-y", "45")
        self._tmux("-f", "/dev/null", "new-session", "-d", *size, words, env=environment)

    def _tmux(self, *arguments: str, env: dict[str, str] | None = None) -> str:
        command = ["tmux", "-L", self._socket, *arguments]
        done = subprocess.run(command, capture_output=True, text=True, env=env, check=True)
        return done.stdout

    def text(self) -> str:
        return self._tmux("capture-pane", "-p")

    def press(self, *keys: str) -> None:
        self._tmux("send-keys", *keys)

    def close(self) -> None:
        self._tmux("kill-server")


@pytest.mark.timeout(900)
@pytest.mark.skipif(shutil.which("tmux") is None, reason="tmux is not installed")
async def test_the_app_shows_a_commit_a_hint_and_a_rewind(tmp_path: Path, key: str) -> None:
    mind = Mind()
    holding = Broken("hang", Answer([text("I look at the second step at leisure. " * 3)]), events=5)

    def wait(body: Body) -> Behaviour | None:
        return holding if "# Step 2" in str(body["messages"][0]) else None

    mind.wait = wait
    async with Server(mind) as server:
        options = {"base_url": server.url}
        budget = Budget(run=Caps(steps=3))
        run = RunSettings(operator="agent", model="m", options=options, budget=budget)
        lab = Laboratory(tmp_path / "sessions" / "agent-run", run)
        engine = await asyncio.create_subprocess_exec(
            sys.executable,
            str(EVOLUTION / "engine_process.py"),
            str(lab.folder),
            "0",
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )
        reader = SessionReader.open(lab.folder)

        def ended() -> bool:
            reader.poll()
            return reader.run_state() == "finished"

        # Workers of pytest-xdist set a size in the environment; here tmux has the say.
        inherited = {k: v for k, v in os.environ.items() if k not in {"COLUMNS", "LINES"}}
        environment = {**inherited, "AVO_SESSIONS": str(lab.folder.parent)}
        await until(lambda: reader.engine().alive, "the engine does not start")
        screen = Screen(lab.folder, environment)
        shown: list[str] = []
        try:
            await until(lambda: "v1" in screen.text(), screen.text)
            await until(lambda: any("# Step 2" in str(b["messages"]) for b in mind.seen), "step 2")
            await until(lambda: "at leisure" in screen.text(), screen.text)
            send_command(lab.folder, SendHint(text="use whole words", delivery="now"))
            await until(lambda: "use whole words" in str(mind.seen[-1]["messages"]), "the hint")
            await until(lambda: "use whole words" in screen.text(), "the hint is not on the screen")
            shown.append(screen.text())
            send_command(lab.folder, Rewind(version=0, reason="v1 was a mistake"))
            await until(ended, "the end")
            await until(lambda: "finished" in screen.text().lower(), "the end is not on the screen")
            shown.append(screen.text())
        finally:
            screen.close()
            if engine.returncode is None:
                engine.kill()
            await engine.wait()
        reader.poll()
        assert reader.state.steps[2].outcome == "rewound"
        assert reader.state.steps[3].parent == 0
        assert any("v1 was a mistake" in str(b["messages"]) for b in mind.seen)
        assert not any(key in picture for picture in shown)
