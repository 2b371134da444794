"""A server on loopback for `agent_week.py`: a scripted engineer, and faults drawn at random."""

from __future__ import annotations

import random
import re
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from tests.loopback.server import Answer, Behaviour, Body, Broken, Status, text, tool
from tests.loopback.strict import SIGNED, StrictServer

PRICE = {"input": 4.0, "output": 20.0, "read": 0.4, "write": 5.0, "write_1h": 8.0}
"""USD per million tokens, given to the run as options and used for the server's own count."""

STATUSES = {
    "rate limit": Status(429, "rate_limit_error", headers={"retry-after": "0.01"}),
    "rate limit without end": Status(429, "rate_limit_error", headers={"retry-after": "inf"}),
    "overloaded": Status(529, "overloaded_error"),
    "server error": Status(500, "api_error"),
    "bad gateway": Status(502, "api_error"),
    "request timeout": Status(408, "timeout_error"),
    "odd 400": Status(400, "invalid_request_error", "something is not quite right"),
    "400 on the cache": Status(400, "invalid_request_error", "cache_control: not now"),
    "400 on thinking": Status(400, "invalid_request_error", "adaptive thinking is unavailable"),
    "400 on effort": Status(400, "invalid_request_error", "output_config.effort: unknown"),
    "400 on a signature": Status(
        400, "invalid_request_error", "messages.1.content.0: Invalid `signature` in `thinking`"
    ),
    "too long": Status(400, "invalid_request_error", "prompt is too long: 210000 tokens"),
    "bad key": Status(401, "authentication_error", "invalid x-api-key"),
    "no credit": Status(402, "billing_error", "no money"),
    "unknown model": Status(404, "not_found_error", "model: scripted"),
    "no such address": Status(404, "", "Not Found"),
    "redirect": Status(307, "", "", {"location": "http://127.0.0.1:9/v1/messages"}),
}
STREAMS = ("eof", "error", "garbage", "reset", "hang", "pings")
ANSWERS = (
    "refusal", "empty", "talk", "cut", "broken arguments", "bad name", "bad id", "unknown block",
    "surrogate", "infinite number",
)  # fmt: skip
RARE = {"hang", "pings", "bad key", "no credit", "unknown model", "no such address", "redirect"}
"""Faults that take seconds or the person; drawn a tenth as often."""


class FaultyServer(StrictServer):
    """The server: a scripted engineer, and faults drawn at random."""

    def __init__(self, faults: float, seed: int) -> None:
        super().__init__(self._answer, seconds=25.0)
        self._faults = faults
        self._chance = random.Random(seed)
        self.count = 0
        self.usd = 0.0
        self.answers = 0
        """How many were begun, whole or not: each of them is paid."""
        self.injected: Counter[str] = Counter()
        self.invalid: list[str] = []
        self.read = self.input = 0
        self.last_request = time.monotonic()
        self.run_usd: Callable[[], float] = lambda: self.usd
        """What the run has counted so far."""
        self.timeouts = 0
        """Time-outs that the run has noted since the last request."""
        self.unseen_usd = self.unexplained_usd = 0.0
        self._apart = 0.0
        self._calls = 0

    # -- what goes wrong

    def compare(self) -> None:
        """Put what the two counts of dollars have drifted apart by to its cause."""
        apart = self.usd - self.run_usd()
        grown, self._apart = apart - self._apart, apart
        if abs(grown) > 1e-9:
            if self.timeouts and grown > 0:
                self.unseen_usd += grown
            else:
                self.unexplained_usd += abs(grown)
        self.timeouts = 0

    def _next(self, body: Body) -> Behaviour:
        self.compare()
        self.count += 1
        self.last_request = time.monotonic()
        what = super()._next(body)
        self.invalid += self.refusals
        self.refusals.clear()
        if isinstance(what, Answer):
            self._bill(what, what.usage["output_tokens"])
        elif isinstance(what, Broken):
            self._bill_part(what)
        for usage in self.usages:
            self.read += usage.read
            self.input += usage.read + usage.written + usage.fresh
        self.usages.clear()
        self.billed.clear()
        return what

    def _bill(self, answer: Answer, output: int) -> None:
        self.answers += 1
        usage = answer.usage
        hour = usage["cache_creation"]["ephemeral_1h_input_tokens"]
        self.usd += (
            usage["input_tokens"] * PRICE["input"]
            + usage["cache_read_input_tokens"] * PRICE["read"]
            + (usage["cache_creation_input_tokens"] - hour) * PRICE["write"]
            + hour * PRICE["write_1h"]
            + output * PRICE["output"]
        ) / 1e6

    def _bill_part(self, broken: Broken) -> None:
        """What an answer costs that breaks off: its input, and a quarter of what was streamed."""
        if broken.events < 1:
            return
        from tests.loopback.server import events_of

        streamed = 0
        for _, data in events_of(broken.answer)[: broken.events]:
            delta = data.get("delta", {})
            streamed += len(delta.get("text", "")) + len(delta.get("thinking", ""))
        self._bill(broken.answer, max(1, streamed // 4))

    def _answer(self, number: int, body: Body) -> Behaviour:
        answer = self._work(body)
        if self._chance.random() >= self._faults:
            return answer
        kinds = [*STATUSES, *STREAMS, *ANSWERS]
        kind = self._chance.choices(kinds, [0.1 if k in RARE else 1.0 for k in kinds])[0]
        self.injected[kind] += 1
        if kind in STATUSES:
            return STATUSES[kind]
        if kind in STREAMS:
            # A reset throws away what was not read, so nobody could say what was streamed.
            events = 0 if kind == "reset" else self._chance.randrange(0, 6)
            return Broken(kind, replace(answer, piece=40), events)
        return self._odd(kind, answer)

    def _odd(self, kind: str, answer: Answer) -> Answer:
        """An answer that is complete, and not what one hopes for."""
        match kind:
            case "refusal":
                details = {"type": "refusal", "category": "cyber", "explanation": "it looked odd"}
                return Answer([], stop="refusal", details=details)
            case "empty":
                return Answer([text("  ")])
            case "talk":
                return Answer([text("How interesting. Shall I go on?")])
            case "cut":
                return replace(answer, stop="max_tokens")
            case "broken arguments":
                return replace(answer, broken_json='{"title": "unfin')
            case "infinite number":
                return replace(answer, broken_json='{"last": 1e999}')
        block: Body
        match kind:
            case "bad name":
                block = {**tool("x"), "name": "functions.list versions"}
            case "bad id":
                block = {**tool("list_versions"), "id": f"call:{self.count}/ä"}
            case "unknown block":
                block = {"type": "hologram", "data": "?"}
            case _:
                block = text("half a \ud83d pair")
        return Answer([text("I look around."), block, self._call("list_versions")])

    # -- the engineer

    def _call(self, name: str, /, **arguments: Any) -> Body:
        self._calls += 1
        return {**tool(name, **arguments), "id": f"toolu_week_{self._calls:07d}"}

    def _work(self, body: Body) -> Answer:
        last = str(body["messages"][-1]["content"][-1])
        if "about to be replaced by a summary" in last:
            return Answer([text("I had tried what the attempts of this step show. " * 20)])
        opening = body["messages"][0]["content"][0]["text"]
        step = re.search(r"# Step (\d+)", opening)
        level = re.search(r"int level = (\d+);", opening)
        if step is None or level is None:
            return Answer([text('{"diagnosis": "d", "stop": [], "directions": [{"text": "go"}]}')])
        return self._turn(int(step[1]), int(level[1]), body)

    def _turn(self, step: int, level: int, body: Body) -> Answer:
        thought = {"type": "thinking", "thinking": "The loads wait. " * 12, "signature": SIGNED}
        words = text("I expect two per cent from this, since the loads overlap. " * 2)
        turn = sum(m["role"] == "assistant" for m in body["messages"])
        long = step % 40 == 0
        commits = step % 20 == 0
        if turn == 0 or (long and turn < 60 and turn % 3 == 0):
            size = 9_000 if long else 40
            source = f"int level = {level + commits};\nint step = {step};\n" + "".join(
                f"// {turn} {line} {step * 7 + line}\n" for line in range(size // 20)
            )
            calls = [self._call("write_file", file="kernel.cpp", text=source)]
        elif long and turn < 60:
            name = "read_candidate" if turn % 2 else "list_attempts"
            calls = [self._call(name)]
        elif turn % 2 == 1 or "attempt " not in str(body["messages"][-1])[:4000]:
            calls = [self._call("evaluate", title=f"idea {step}.{turn}")]
        elif commits and turn < 90:
            calls = [self._call("submit", summary=f"Idea {step} is faster by one level.")]
        else:
            calls = [self._call("end_step", reason=f"Idea {step} brought nothing measurable.")]
        if turn > 100:
            calls = [self._call("end_step", reason="This step was long enough for anyone.")]
        return Answer([thought, words, *calls], piece=2000)
