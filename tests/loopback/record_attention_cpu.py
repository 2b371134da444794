"""Makes the recording that ships with the package: a conversation written by hand, played for real.

python tests/loopback/record_attention_cpu.py [FOLDER]

The turns (attention_cpu_turns.py) are what an agent might say and do. They go through the loopback
server, the real SDK, the real agent, the real engine and the real evaluation of `attention_cpu`.
The conversation is then taken from the session. No model is asked, so the usage is counted from the
characters sent.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from avo_tui.domain.base import now  # noqa: E402
from avo_tui.domain.budget import Budget, Caps  # noqa: E402
from avo_tui.domain.events import AttemptFinished, ToolReturned, VersionCommitted  # noqa: E402
from avo_tui.domain.records import SessionRecord  # noqa: E402
from avo_tui.domain.run_settings import RunSettings  # noqa: E402
from avo_tui.evaluation.evaluators import LocalEvaluator  # noqa: E402
from avo_tui.evolution.engine import Engine  # noqa: E402
from avo_tui.evolution.library import SessionKnowledge  # noqa: E402
from avo_tui.operators.agent import make  # noqa: E402
from avo_tui.operators.recorded.recording import from_events  # noqa: E402
from avo_tui.store import SessionReader, SessionWriter  # noqa: E402
from tests.loopback.attention_cpu_turns import STEPS  # noqa: E402
from tests.loopback.server import Answer, Body, Server  # noqa: E402

TARGET = ROOT / "avo_tui" / "operators" / "recorded" / "attention_cpu.json"
CHARACTERS_PER_TOKEN = 3.3

ABOUT = (
    "A conversation written by hand for demonstration; no model was asked. It was played once"
    " through the agent against a server on loopback, with real compilation, checks and"
    " measurements. The usage is counted from characters, 3.3 to a token."
)


class Script:
    """Answers with the turns of the step that the opening names; counts what it is sent."""

    def __init__(self) -> None:
        self._sent = ""

    def __call__(self, number: int, body: Body) -> Answer:
        opening = body["messages"][0]["content"][0]["text"]
        step = int(opening.split("# Step ")[1].split(":")[0])
        turn = sum(m["role"] == "assistant" for m in body["messages"])
        answer = STEPS[step - 1][turn]
        return Answer(answer.content, usage=self._usage(body, answer))

    def _usage(self, body: Body, answer: Answer) -> dict[str, Any]:
        whole = json.dumps([body["tools"], body["system"], body["messages"]], ensure_ascii=False)
        whole = whole.replace(', "cache_control": {"type": "ephemeral"}', "")
        common = _common(whole, self._sent)
        self._sent = whole
        said = len(json.dumps(answer.content, ensure_ascii=False))
        return {
            "input_tokens": 0,
            "cache_read_input_tokens": int(common / CHARACTERS_PER_TOKEN),
            "cache_creation_input_tokens": int((len(whole) - common) / CHARACTERS_PER_TOKEN),
            "output_tokens": int(said / CHARACTERS_PER_TOKEN),
        }


def _common(one: str, other: str) -> int:
    """Length of the common beginning."""
    pairs = zip(one, other, strict=False)
    return next((n for n, (a, b) in enumerate(pairs) if a != b), min(len(one), len(other)))


async def record(folder: Path) -> None:
    os.environ.setdefault("ANTHROPIC_API_KEY", "not-a-key-loopback-only")
    async with Server(Script()) as server, LocalEvaluator(task="attention_cpu") as evaluator:
        settings = RunSettings(
            operator="agent",
            model="written-by-hand",
            budget=Budget(run=Caps(steps=len(STEPS))),
            options={"base_url": server.url, "price_input": 0.0, "price_output": 0.0},
        )
        task = await evaluator.task("attention_cpu")
        session = SessionRecord(
            name="attention-cpu-agent",
            task=task,
            created=now(),
            settings=settings,
            budget=settings.budget,
        )
        writer = SessionWriter.create(folder, session)
        engine = Engine(
            writer, evaluator, make(settings), SessionKnowledge(folder), listeners=[_say]
        )
        try:
            print("the run ended:", await engine.run())
        finally:
            writer.close()
    reader = SessionReader.open(folder)
    recording = from_events(
        "attention_cpu",
        reader.events(),
        reader.get,
        title="From scalar loops to register blocks in three steps",
        about=ABOUT,
    )
    versions = [v.number for v in reader.state.versions.values() if v.author == "agent"]
    if versions != [1, 2, 3]:
        raise SystemExit(f"the gate let {versions} through, not three versions; not recorded")
    TARGET.write_text(recording.model_dump_json(indent=1) + "\n", encoding="utf-8")
    print(f"{TARGET}: {len(recording.steps)} steps, {TARGET.stat().st_size} bytes")


def _say(event: object) -> None:
    if isinstance(event, ToolReturned):
        print(f"  {event.tool}: {'ok' if event.ok else 'NO'} {event.summary.splitlines()[:1]}")
    elif isinstance(event, AttemptFinished):
        score = event.report.score
        print(f"  attempt: {event.report.verdict} {score.aggregate if score else ''}", flush=True)
    elif isinstance(event, VersionCommitted):
        print(f"v{event.version.number}: {event.version.aggregate:.4f}", flush=True)


if __name__ == "__main__":
    where = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(tempfile.mkdtemp()) / "session"
    asyncio.run(record(where))
