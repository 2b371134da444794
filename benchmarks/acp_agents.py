"""Real coding agents started by avo over the Agent Client Protocol: a step each, from plan to gate.

What is real: `avo run --agent`, the agent's program with its own ACP and MCP, `avo mcp`, the
engine, compiler, checks, measurements and the gate. What is scripted: the model's answers, one tool
call each, by a server on loopback. It shows that an agent can make a step in this way; nothing is
said about how good a model is.

    npm install opencode-ai @google/gemini-cli @zed-industries/claude-code-acp \
        @zed-industries/codex-acp
    python benchmarks/acp_agents.py --agent opencode|gemini|claude|codex \
        --bin node_modules/.bin --sessions FOLDER --out transcript.txt

Exit status 0 where the agent's step was committed by the gate.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.seat_clients import LAST_WORDS, Handler, Model, _text, command  # noqa: E402

TASK = "attention_cpu"
EDITS = {
    "ALGORITHM = 0;  ": "ALGORITHM = 2;  ",
    "VECTOR = 1;  ": "VECTOR = 8;  ",
    "EXPONENTIAL = 0;": "EXPONENTIAL = 2;",
    "PACK_K = 0;": "PACK_K = 1;",
}
"""Constants of the task's seed, and what the script sets them to."""
PLAN = {
    "title": "vectors of eight floats and an online softmax: several times as fast",
    "items": [
        {"text": "online softmax, keys transposed tile by tile", "status": "doing"},
        {"text": "measure, then submit", "status": "todo"},
    ],
}
SCRIPT: tuple[tuple[str, dict[str, Any]], ...] = (
    ("begin_step", {}),
    ("set_plan", PLAN),
    ("search_knowledge", {"query": "online softmax vector registers", "limit": 2}),
    ("read_candidate", {"first_line": 16, "last_line": 30}),
    *(("replace_text", {"old": old, "new": new}) for old, new in EDITS.items()),
    ("compile", {}),
    ("check", {}),
    ("evaluate", {"title": "online softmax in vectors of eight"}),
    ("remember", {"category": "worked", "text": "Vectors of eight and an online softmax."}),
    ("submit", {"summary": "Online softmax in vectors of eight: loads and multiply-adds go wide."}),
    ("begin_step", {}),
    ("end_step", {"reason": "The script ends here: one step over this agent."}),
)
COMMANDS = {
    "opencode": ["opencode", "acp"],
    "gemini": ["gemini", "--experimental-acp", "--model", "scripted"],
    "claude": ["claude-code-acp"],
    "codex": ["codex-acp"],
}


class PatientModel(Model):
    """Calls `wait` where a tool says that it still runs, and so counts only what is scripted."""

    def next(self, done: int, tools: list[str]) -> tuple[str, dict[str, Any]] | None:
        """See `Model.next`."""
        waiting = self.log and "Call `wait`" in self.log[-1]
        name = next((t for t in tools if t == "wait" or t.endswith("_wait")), None)
        if waiting and name is not None:
            self.extra += 1
            return name, {}
        return super().next(done, tools)


class GeminiHandler(Handler):
    """Speaks Gemini's API as well."""

    def do_POST(self) -> None:  # noqa: N802 - the name that the server's library calls
        """An answer, as a stream of events or at once."""
        path = self.path.partition("?")[0]
        if not path.endswith(("generateContent", "streamGenerateContent", "countTokens")):
            super().do_POST()
            return
        raw = self.rfile.read(int(self.headers.get("content-length", 0)))
        body = json.loads(raw or b"{}")
        if path.endswith("countTokens"):
            self._json({"totalTokens": 100})
        elif path.endswith(":generateContent"):
            self._json(self._gemini(body))
        else:
            self._stream(self._one(self._gemini(body)))

    def _one(self, event: Any) -> Iterator[tuple[str, Any]]:
        yield "", event

    def _gemini(self, body: dict[str, Any]) -> dict[str, Any]:
        results = [
            _text([part["functionResponse"].get("response", {})])
            for content in body.get("contents", [])
            for part in content.get("parts", [])
            if "functionResponse" in part
        ]
        tools = [
            declared["name"]
            for tool in body.get("tools", [])
            for declared in tool.get("functionDeclarations", [])
        ]
        call = self._decide(results, tools)
        part: dict[str, Any] = {"text": LAST_WORDS}
        if call is not None:
            part = {"functionCall": {"name": call[0], "args": call[1]}}
        return {
            "candidates": [
                {"content": {"role": "model", "parts": [part]}, "finishReason": "STOP", "index": 0}
            ],
            "usageMetadata": {
                "promptTokenCount": 10, "candidatesTokenCount": 5, "totalTokenCount": 15,
            },
        }  # fmt: skip


def prepared(agent: str, folder: Path, model: str) -> dict[str, str]:
    """Writes the agent's settings into `folder`; the environment that makes it use them."""
    home = {"HOME": str(folder)}
    match agent:
        case "gemini":
            (folder / ".gemini").mkdir()
            settings = {
                "security": {"auth": {"selectedType": "gemini-api-key"}},
                "privacy": {"usageStatisticsEnabled": False},
                "general": {"disableAutoUpdate": True},
                "telemetry": {"enabled": False},
            }
            (folder / ".gemini" / "settings.json").write_text(json.dumps(settings))
            more = {
                "GEMINI_API_KEY": "scripted", "GOOGLE_GEMINI_BASE_URL": model,
                "GEMINI_CLI_TRUST_WORKSPACE": "true",
            }  # fmt: skip
        case "claude":
            more = {
                "ANTHROPIC_BASE_URL": model, "ANTHROPIC_API_KEY": "scripted",
                "CLAUDE_CONFIG_DIR": str(folder), "ENABLE_TOOL_SEARCH": "false",
                "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
            }  # fmt: skip
            if os.geteuid() == 0:
                more["IS_SANDBOX"] = "1"  # otherwise it refuses to run as root
        case "codex":
            (folder / "config.toml").write_text(
                'model = "scripted"\nmodel_provider = "loop"\n'
                f'[model_providers.loop]\nname = "loop"\nbase_url = "{model}/v1"\n'
                'wire_api = "responses"\n'
            )
            more = {"CODEX_HOME": str(folder), "OPENAI_API_KEY": "scripted"}
        case _:
            _, more = command("opencode", folder, ["avo"], model)
            settings = json.loads((folder / "opencode.json").read_text())
            del settings["mcp"]  # the seat's server is named by avo over ACP
            (folder / "opencode.json").write_text(json.dumps(settings))
    return {**home, **more}


def run(options: argparse.Namespace, model: Model, folder: Path) -> tuple[int, str]:
    """`avo run` until the agent's first step is over or the run pauses: (exit status, its output).

    A run that pauses waits for a person: here nobody comes, so it is stopped.
    """
    words = COMMANDS[options.agent]
    name = f"acp-{options.agent}"
    line = [
        sys.executable, "-m", "avo_tui.cli", "run", TASK, "--name", name,
        "--headless", "--steps", "1", "--set", "acp.start_seconds=180",
        "--agent", " ".join([str(options.bin.resolve() / words[0]), *words[1:]]),
    ]  # fmt: skip
    environment = {
        **os.environ, "AVO_SESSIONS": str(options.sessions.resolve()),
        **prepared(options.agent, folder, model.url),
    }  # fmt: skip
    deadline = time.monotonic() + options.seconds
    with tempfile.TemporaryFile("w+") as output:
        engine = subprocess.Popen(
            line, cwd=ROOT, env=environment, stdin=subprocess.DEVNULL,
            stdout=output, stderr=subprocess.STDOUT,
        )  # fmt: skip
        while engine.poll() is None and time.monotonic() < deadline:
            if state_of(options.sessions / name) == "paused":
                break
            time.sleep(0.5)
        if engine.poll() is None:
            engine.terminate()
        status = engine.wait(60)
        output.seek(0)
        return status, output.read()


def state_of(folder: Path) -> str:
    """Whether a session is running, paused, …; "" before it is there."""
    from avo_tui.store import SessionReader
    from avo_tui.store.errors import SessionNotFound

    try:
        return SessionReader.open(folder).state.session.state
    except SessionNotFound:
        return ""


def committed(folder: Path) -> list[str]:
    """What the session's record says of the versions that the agent made, and of its tools."""
    from avo_tui.store import SessionReader

    state = SessionReader.open(folder).state
    return [
        f"v{v.number} {v.aggregate:.4f} by {v.author}: {v.gate.reason}"
        for v in state.versions.values()
        if v.author == "seat"
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--agent", required=True, choices=sorted(COMMANDS))
    parser.add_argument("--bin", type=Path, required=True, help="folder with the programs")
    parser.add_argument("--sessions", type=Path, required=True, help="folder for the session")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seconds", type=float, default=900.0)
    options = parser.parse_args()
    options.sessions.mkdir(parents=True, exist_ok=True)
    model = PatientModel(list(SCRIPT))
    model.RequestHandlerClass = GeminiHandler
    threading.Thread(target=model.serve_forever, daemon=True).start()
    with tempfile.TemporaryDirectory() as folder:
        status, output = run(options, model, Path(folder))
    versions = committed(options.sessions / f"acp-{options.agent}")
    log = [
        *model.log, f"--- exit status {status}", "--- avo run", output[-12000:],
        "--- versions of the agent", *versions,
    ]  # fmt: skip
    options.out.write_text("\n".join(log) + "\n")
    print("\n".join(versions) or "no version was made")
    return 0 if versions else 1


if __name__ == "__main__":
    raise SystemExit(main())
