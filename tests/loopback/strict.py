"""A server on loopback that refuses what the API refuses and keeps its prompt cache."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

from tests.loopback.cache import PromptCache, Usage
from tests.loopback.rules import refusal, signature
from tests.loopback.server import Answer, Behaviour, Body, Broken, Server, Status

SIGNED = "to be signed"
"""Signature of a scripted thinking block that the server signs itself."""


class StrictServer(Server):
    """Answers valid requests with the script; each answer's usage is what the cache says.

    `refusals` are the messages of the requests that were not valid: a test wants none.
    """

    def __init__(
        self,
        script: Iterable[Behaviour] | Callable[[int, Body], Behaviour] = (),
        *,
        seconds: float = 20.0,
        binding: bool = True,
        keep: bool = False,
    ) -> None:
        """`seconds` of the server's own time pass with each request. `keep`: keep all bodies."""
        super().__init__(script)
        self.now = 0.0
        self.seconds = seconds
        self.refusals: list[str] = []
        self.usages: list[Usage] = []
        self.billed: list[Body] = []
        """The usage of every answer that was sent to its end."""
        self.cache = PromptCache(lambda: self.now)
        self._binding = binding
        self._keep = keep
        self._count = 0

    def _next(self, body: Body) -> Behaviour:
        self.now += self.seconds
        self._count += 1
        message = refusal(body, binding=self._binding)
        if message is not None:
            self.refusals.append(message)
            return Status(400, "invalid_request_error", message)
        number = len(self.requests) - 1
        if not self._keep:
            number = self._count - 1
            self.requests[:-1] = []
            self.headers[:-1] = []
            self.paths[:-1] = []
        what = self._choose(number, body) if self._choose is not None else super()._next(body)
        if isinstance(what, Answer):
            what = self._counted(what, body)
            self.billed.append(what.usage)
        elif isinstance(what, Broken):
            what = replace(what, answer=self._counted(what.answer, body))
        return what

    def _counted(self, answer: Answer, body: Body) -> Answer:
        """The answer with its usage, its thinking signed over this very conversation."""
        usage = self.cache.request(body)
        self.usages.append(usage)
        mark = signature(body["messages"])
        content = [
            {**b, "signature": mark} if b.get("signature") == SIGNED else b for b in answer.content
        ]
        output = answer.usage.get("output_tokens", max(20, sum(len(str(b)) for b in content) // 4))
        fields: dict[str, Any] = {**answer.usage, **usage.fields(), "output_tokens": output}
        return replace(answer, content=content, usage=fields)

    @property
    def cache_share(self) -> float:
        """Share of all input tokens that were read from the cache."""
        read = sum(u.read for u in self.usages)
        return read / max(1, sum(u.read + u.written + u.fresh for u in self.usages))
