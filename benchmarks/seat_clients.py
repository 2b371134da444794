"""Real coding agents in the seat: each makes one step over MCP, its model a script on loopback.

What is real: the agent's program, its MCP client, `avo mcp`, the engine, compiler and measurement.
What is scripted: the model's answers, one tool call each. For the agents' own use of MCP only;
nothing is said about how good a model is.

    python benchmarks/seat_clients.py --session NAME --agent claude|codex|opencode|inspector \
        --bin FOLDER --out transcript.txt

`--bin` is a folder with the agents' programs, such as node_modules/.bin after
`npm install @anthropic-ai/claude-code @openai/codex opencode-ai @modelcontextprotocol/inspector`.
The session must exist, with the operator `seat`, and hold one file with `flags:` to vary.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

SCRIPT: tuple[tuple[str, dict[str, Any]], ...] = (
    ("begin_step", {}),
    (
        "set_plan",
        {
            "title": "see what the flag for unrolling brings: 0 to 1%",
            "items": [{"text": "ask for -funroll-loops and measure", "status": "doing"}],
        },
    ),
    ("search_knowledge", {"query": "unroll loops registers", "limit": 2}),
    ("read_candidate", {"first_line": 1, "last_line": 8}),
    ("apply_diff", {"diff": ""}),  # filled in by `diff_of`
    ("compile", {}),
    ("evaluate", {"title": "-funroll-loops"}),
    ("wait", {}),
    ("wait", {}),
    ("end_step", {"reason": "the script ends here: one step over this client"}),
)
PROMPT = "Sit in the seat: call begin_step, then make one step."
LAST_WORDS = "The step is made."


def diff_of(first_line: str, name: str) -> str:
    """A diff that puts a line with a flag before the first line of a file."""
    return (
        f"--- a/{name}\n+++ b/{name}\n@@ -1,1 +1,2 @@\n+// flags: -funroll-loops\n {first_line}\n"
    )


class Model(ThreadingHTTPServer):
    """Speaks the Messages, the Chat Completions and the Responses API; answers by the script."""

    def __init__(self, script: list[tuple[str, dict[str, Any]]]) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.script = script
        self.log: list[str] = []
        self.extra = 0
        """Calls that are not of the script: some clients offer the tools only after a wait."""

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.server_address[1]}"

    def next(self, done: int, tools: list[str]) -> tuple[str, dict[str, Any]] | None:
        """The call after `done` results, under the name the client gave the tool; None: no more."""
        done -= self.extra
        if done >= len(self.script) or not tools:
            return None
        tool, arguments = self.script[done]
        name = next((t for t in tools if t == tool or t.endswith(f"_{tool}")), None)
        if name is None and "WaitForMcpServers" in tools and self.extra < 3:
            self.extra += 1
            return "WaitForMcpServers", {}
        if name is None:
            self.log.append(f"(the client offers no {tool}: {', '.join(tools)[:400]})")
            return None
        return name, arguments


class Handler(BaseHTTPRequestHandler):
    """One request of a client for the model."""

    server: Model

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing on standard error."""

    def do_GET(self) -> None:
        """Lists of models and the like: nothing."""
        self._json({"data": [], "models": []})

    def do_POST(self) -> None:
        """An answer, as a stream of events."""
        raw = self.rfile.read(int(self.headers.get("content-length", 0)))
        body = json.loads(raw or b"{}")
        path = self.path.partition("?")[0]
        if path.endswith("/count_tokens"):
            self._json({"input_tokens": 100})
        elif path.endswith("/messages"):
            self._stream(self._messages(body))
        elif path.endswith("/chat/completions"):
            self._stream(self._chat(body))
        elif path.endswith("/responses"):
            self._stream(self._responses(body))
        else:
            self._json({})

    def _json(self, body: Any) -> None:
        data = json.dumps(body).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def _stream(self, events: Iterator[tuple[str, Any]]) -> None:
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.end_headers()
        for name, event in events:
            head = f"event: {name}\n" if name else ""
            data = event if isinstance(event, str) else json.dumps(event)
            self.wfile.write(f"{head}data: {data}\n\n".encode())
        self.wfile.flush()

    def _decide(self, results: list[str], tools: list[str]) -> tuple[str, dict[str, Any]] | None:
        log = self.server.log
        if results and f"result {len(results)}" not in log and tools:
            log += [f"result {len(results)}", results[-1]]
        call = self.server.next(len(results), tools)
        if call is not None:
            log.append(f">>> {call[0]} {json.dumps(call[1])[:600]}")
        return call

    def _messages(self, body: dict[str, Any]) -> Iterator[tuple[str, Any]]:
        results = [
            _text(block.get("content"))
            for message in body["messages"]
            if isinstance(message["content"], list)
            for block in message["content"]
            if block.get("type") == "tool_result"
        ]
        call = self._decide(results, [t["name"] for t in body.get("tools", [])])
        usage = {"input_tokens": 10, "output_tokens": 5}
        message = {
            "id": f"msg_{len(results)}", "type": "message", "role": "assistant", "content": [],
            "model": body.get("model", ""), "stop_reason": None, "usage": usage,
        }  # fmt: skip
        yield "message_start", {"type": "message_start", "message": message}
        if call is None:
            block: dict[str, Any] = {"type": "text", "text": ""}
            delta = {"type": "text_delta", "text": LAST_WORDS}
        else:
            block = {
                "type": "tool_use",
                "id": f"toolu_{len(results)}",
                "name": call[0],
                "input": {},
            }
            delta = {"type": "input_json_delta", "partial_json": json.dumps(call[1])}
        yield (
            "content_block_start",
            {"type": "content_block_start", "index": 0, "content_block": block},
        )
        yield "content_block_delta", {"type": "content_block_delta", "index": 0, "delta": delta}
        yield "content_block_stop", {"type": "content_block_stop", "index": 0}
        stop = {"stop_reason": "tool_use" if call else "end_turn", "stop_sequence": None}
        yield "message_delta", {"type": "message_delta", "delta": stop, "usage": usage}
        yield "message_stop", {"type": "message_stop"}

    def _chat(self, body: dict[str, Any]) -> Iterator[tuple[str, Any]]:
        results = [_text(m.get("content")) for m in body["messages"] if m["role"] == "tool"]
        call = self._decide(results, [t["function"]["name"] for t in body.get("tools", [])])
        base = {
            "id": f"chat_{len(results)}", "object": "chat.completion.chunk", "created": 1,
            "model": body.get("model", ""),
        }  # fmt: skip
        if call is None:
            delta: dict[str, Any] = {"role": "assistant", "content": LAST_WORDS}
        else:
            function = {"name": call[0], "arguments": json.dumps(call[1])}
            tool = {"index": 0, "id": f"call_{len(results)}", "type": "function"}
            delta = {"role": "assistant", "tool_calls": [{**tool, "function": function}]}
        yield "", {**base, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]}
        why = "tool_calls" if call else "stop"
        usage = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}
        yield (
            "",
            {**base, "choices": [{"index": 0, "delta": {}, "finish_reason": why}], "usage": usage},
        )
        yield "", "[DONE]"

    def _responses(self, body: dict[str, Any]) -> Iterator[tuple[str, Any]]:
        items = body.get("input", [])
        results = [_text(i.get("output")) for i in items if i.get("type") == "function_call_output"]
        spaces: dict[str, str] = {}
        for tool in body.get("tools", []):
            if tool.get("type") == "namespace":
                spaces |= {t["name"]: tool["name"] for t in tool["tools"]}
            elif tool.get("name"):
                spaces[tool["name"]] = ""
        call = self._decide(results, list(spaces))
        number = len(results)
        start = {
            "id": f"resp_{number}",
            "object": "response",
            "status": "in_progress",
            "output": [],
        }
        yield "response.created", {"type": "response.created", "response": start}
        if call is None:
            content = [{"type": "output_text", "text": LAST_WORDS, "annotations": []}]
            item: dict[str, Any] = {
                "type": "message", "id": f"msg_{number}", "role": "assistant", "content": content,
            }  # fmt: skip
        else:
            item = {
                "type": "function_call", "id": f"fc_{number}", "call_id": f"call_{number}",
                "name": call[0], "arguments": json.dumps(call[1]),
            }  # fmt: skip
            if spaces[call[0]]:
                item["namespace"] = spaces[call[0]]
        done = {"type": "response.output_item.done", "output_index": 0, "item": item}
        yield "response.output_item.done", done
        usage = {
            "input_tokens": 10, "output_tokens": 5, "total_tokens": 15,
            "input_tokens_details": {"cached_tokens": 0},
            "output_tokens_details": {"reasoning_tokens": 0},
        }  # fmt: skip
        end = {**start, "status": "completed", "output": [item], "usage": usage}
        yield "response.completed", {"type": "response.completed", "response": end}


def _text(content: Any) -> str:
    if isinstance(content, list):
        return "\n".join(str(part.get("text", part)) for part in content)
    return str(content)


def command(
    agent: str, folder: Path, avo: list[str], model: str
) -> tuple[list[str], dict[str, str]]:
    """(the agent's command line, its environment); writes its configuration into `folder`."""
    server = {"command": avo[0], "args": avo[1:]}
    if agent == "claude":
        (folder / "mcp.json").write_text(json.dumps({"mcpServers": {"avo": server}}))
        line = [
            "claude", "-p", PROMPT, "--mcp-config", str(folder / "mcp.json"),
            "--strict-mcp-config", "--allowedTools", "mcp__avo", "--output-format", "text",
        ]  # fmt: skip
        return line, {
            "ANTHROPIC_BASE_URL": model, "ANTHROPIC_API_KEY": "scripted",
            "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
            "MCP_CONNECTION_NONBLOCKING": "0", "MCP_TIMEOUT": "60000",
            "CLAUDE_CONFIG_DIR": str(folder),
            "ENABLE_TOOL_SEARCH": "false",
        }  # fmt: skip
    if agent == "codex":
        arguments = json.dumps(avo[1:])
        passed = json.dumps({k: os.environ[k] for k in ("AVO_SESSIONS",) if k in os.environ})
        environment = ", ".join(f'{k} = "{v}"' for k, v in json.loads(passed).items())
        (folder / "config.toml").write_text(
            'model = "scripted"\nmodel_provider = "loop"\n'
            f'[model_providers.loop]\nname = "loop"\nbase_url = "{model}/v1"\n'
            'wire_api = "responses"\n'
            f'[mcp_servers.avo]\ncommand = "{avo[0]}"\nargs = {arguments}\n'
            f"env = {{ {environment} }}\nrequired = true\n"
            "startup_timeout_sec = 60\ntool_timeout_sec = 90\n"
        )
        line = ["codex", "exec", "--skip-git-repo-check",
                "--dangerously-bypass-approvals-and-sandbox", PROMPT]  # fmt: skip
        return line, {"CODEX_HOME": str(folder)}
    configuration = {
        "$schema": "https://opencode.ai/config.json",
        "autoupdate": False, "share": "disabled",
        "model": "loop/scripted", "small_model": "loop/scripted",
        "provider": {
            "loop": {
                "npm": "@ai-sdk/openai-compatible", "name": "loop",
                "options": {"baseURL": f"{model}/v1", "apiKey": "scripted"},
                "models": {"scripted": {"name": "scripted", "tool_call": True}},
            }
        },
        "mcp": {"avo": {"type": "local", "command": avo, "enabled": True, "timeout": 60000}},
    }  # fmt: skip
    (folder / "opencode.json").write_text(json.dumps(configuration))
    home = {
        "OPENCODE_CONFIG": str(folder / "opencode.json"), "OPENCODE_DISABLE_MODELS_FETCH": "1",
        "XDG_DATA_HOME": str(folder / "data"), "XDG_STATE_HOME": str(folder / "state"),
        "XDG_CONFIG_HOME": str(folder / "config"), "XDG_CACHE_HOME": str(folder / "cache"),
    }  # fmt: skip
    return ["opencode", "run", PROMPT], home


def inspect(programs: Path, avo: list[str], script: list[tuple[str, dict[str, Any]]]) -> list[str]:
    """The script through the MCP inspector's command line: a connection for each call."""
    log = []
    passed = [f"{k}={os.environ[k]}" for k in ("AVO_SESSIONS",) if k in os.environ]
    environment = [part for item in passed for part in ("-e", item)]
    base = [str(programs / "mcp-inspector"), "--cli", "--cli", *environment, "--", *avo]
    for tool, arguments in script:
        if tool == "wait":
            continue
        given = [
            part
            for key, value in arguments.items()
            for text in [value if isinstance(value, str) else json.dumps(value)]
            for part in ("--tool-arg", f"{key}={text}")
        ]
        line = [*base, "--method", "tools/call", "--tool-name", tool, *given]
        done = subprocess.run(line, capture_output=True, text=True, timeout=300, check=False)
        log += [f">>> {tool} {json.dumps(arguments)[:600]}", done.stdout or done.stderr]
    return log


def main() -> int:
    parser = argparse.ArgumentParser(description="One step through a real client of the seat.")
    parser.add_argument("--session", required=True)
    parser.add_argument(
        "--agent", required=True, choices=("claude", "codex", "opencode", "inspector")
    )
    parser.add_argument("--bin", type=Path, required=True, help="folder with the programs")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    from avo_tui.store import SessionReader, find_session

    reader = SessionReader.open(find_session(options.session))
    head = reader.state.head
    assert head is not None, "the session has no version yet"
    name, text = next(iter(reader.candidate(head.candidate).files.items()))
    script = [
        (tool, {"diff": diff_of(text.splitlines()[0], name)} if tool == "apply_diff" else arguments)
        for tool, arguments in SCRIPT
    ]
    avo = [
        shutil.which("avo") or str(Path(sys.executable).with_name("avo")),
        "mcp",
        options.session,
    ]
    if options.agent == "inspector":
        options.out.write_text("\n".join(inspect(options.bin, [*avo, "--patience", "250"], script)))
        return 0
    model = Model(script)
    threading.Thread(target=model.serve_forever, daemon=True).start()
    with tempfile.TemporaryDirectory() as folder:
        line, environment = command(options.agent, Path(folder), avo, model.url)
        line[0] = str(options.bin.resolve() / line[0])
        done = subprocess.run(
            line, cwd=folder, env={**os.environ, "HOME": folder, **environment},
            capture_output=True, text=True, timeout=500, check=False, stdin=subprocess.DEVNULL,
        )  # fmt: skip
    log = [f"$ {' '.join(line)}", *model.log, f"--- exit status {done.returncode}", "--- stdout",
           done.stdout[-8000:], "--- stderr", done.stderr[-4000:]]  # fmt: skip
    options.out.write_text("\n".join(log))
    return done.returncode


if __name__ == "__main__":
    raise SystemExit(main())
