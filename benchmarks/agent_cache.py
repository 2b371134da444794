"""What a long step of the agent costs, and how much of its input the prompt cache serves.

python benchmarks/agent_cache.py [--turns 300] [--kernel 27000] [--out result.json]

The real agent runs a step against a server on loopback that validates each request and simulates
the prompt cache by its rules (tests/loopback/cache.py); the kernel is rewritten every third turn.
Compared are the policy in both modes (the server clears, the agent clears) and two others that
replace it here: clearing as soon as there is something to clear, and never clearing before the
summary. Costs are at the list prices of the model, from the usage that the server reported. No
model is asked; tokens are counted from characters.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import random
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from unittest.mock import patch

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from avo_tui.domain.events import MessageRecorded  # noqa: E402
from avo_tui.operators.agent import exchange  # noqa: E402
from avo_tui.operators.agent.conversation import policy  # noqa: E402
from avo_tui.operators.agent.conversation.turns import Conversation  # noqa: E402
from avo_tui.operators.agent.model.endpoint import AnthropicModel  # noqa: E402
from avo_tui.operators.agent.settings import AgentSettings  # noqa: E402
from avo_tui.operators.agent.setup import Setup  # noqa: E402
from avo_tui.operators.agent.step import AgentStep  # noqa: E402
from tests.loopback.long_step import LongStep  # noqa: E402
from tests.loopback.strict import StrictServer  # noqa: E402
from tests.operators.fake_workbench import FakeWorkbench  # noqa: E402

Decide = Callable[..., policy.Decision]


def turn_by_turn(
    talk: Conversation, limits: policy.ContextLimits, price: object, *, refused: bool = False
) -> policy.Decision:
    """Clears whatever may be cleared as soon as `clear_at` is reached, without looking at costs."""
    calls, _ = policy.clearable(talk, limits.keep_results)
    if talk.tokens() >= limits.compact_at:
        return policy.SUMMARISE
    if calls and talk.tokens() >= limits.clear_at:
        return policy.Decision(action="clear", calls=tuple(calls))
    return policy.NOTHING


def summary_only(
    talk: Conversation, limits: policy.ContextLimits, price: object, *, refused: bool = False
) -> policy.Decision:
    """Never clears; the summary comes at `compact_at`."""
    return policy.SUMMARISE if talk.tokens() >= limits.compact_at else policy.NOTHING


async def run(turns: int, kernel: int, editing: str, decide: Decide) -> dict[str, float | str]:
    """One long step; its figures."""
    async with StrictServer(LongStep(turns, kernel)) as server:
        settings = AgentSettings.model_validate(
            {
                "model": "claude-opus-5-5",
                "base_url": server.url,
                "context_editing": editing,
                "cache_ttl": "1h",
                "max_requests": turns + 50,
                "clear_at": 100_000,
                "wait_first": 0.01,
                "wait_longest": 0.01,
            }
        )
        model = AnthropicModel(settings)
        setup = Setup(settings, model, chance=random.Random(1))
        bench = FakeWorkbench()
        with patch.object(exchange, "decide", decide):
            outcome = await AgentStep(bench, setup, lambda text: text).run()
        await model.close()
        assert outcome.reason == "The step was long enough.", outcome
        spend = bench.state.session.spend
        written = sum(u.written for u in server.usages)
        size = sum(u.read + u.written + u.fresh for u in server.usages)
        events = [e.summary for e in bench.of(MessageRecorded)]
        return {
            "requests": spend.requests,
            "share": server.cache_share,
            "written_per_request": written / spend.requests,
            "context": size / spend.requests,
            "usd": spend.usd,
            "clearings": sum("uses cleared" in s for s in events),
            "summaries": sum("summary" in s for s in events),
            "refused": len(server.refusals),
        }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--turns", type=int, default=300)
    parser.add_argument("--kernel", type=int, default=27_000, help="characters of the kernel")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    os.environ["ANTHROPIC_API_KEY"] = "not-a-key-loopback-only"
    with tempfile.TemporaryDirectory() as empty:
        os.environ["SSL_CERT_DIR"] = empty  # nothing here speaks TLS
        rows = []
        for name, editing, decide in (
            ("policy, the server clears", "server", policy.decide),
            ("policy, the agent clears", "local", policy.decide),
            ("turn by turn, the server clears", "server", turn_by_turn),
            ("turn by turn, the agent clears", "local", turn_by_turn),
            ("summary only", "local", summary_only),
        ):
            row = asyncio.run(run(options.turns, options.kernel, editing, decide))
            rows.append({"name": name, **row})
            print(
                f"{name:32} cache {row['share']:6.1%}  written/request"
                f" {row['written_per_request']:8.0f}  context {row['context']:8.0f}"
                f"  ${row['usd']:7.2f}  clearings {row['clearings']:3}  summaries"
                f" {row['summaries']:2}  refused {row['refused']}",
                flush=True,
            )
    if options.out:
        facts = {"python": platform.python_version(), "turns": options.turns, "rows": rows}
        options.out.write_text(json.dumps(facts, indent=1) + "\n")


if __name__ == "__main__":
    main()
