"""A long step of an agent that works as agents do: it rewrites its kernel every third turn.

The kernel has 27 KB, the size of the best Hopper kernel there was. Between the rewritings the agent
reads, compiles and evaluates. What it thinks is signed over the conversation, as the API does it.
"""

from tests.loopback.server import Answer, Body, text
from tests.loopback.strict import SIGNED

KERNEL_BYTES = 27_000


def kernel(number: int, size: int = KERNEL_BYTES) -> str:
    """A source of this size that differs from every other number's throughout."""
    lines = ["// a kernel", f"const float speed = 0.{900 + number % 90:03d};"]
    length, place = sum(map(len, lines)), 0
    while length < size:
        line = f"  acc[{place % 64}] = fma(k[{number * 7 + place}], v[{place % 97}], acc[{place}]);"
        lines.append(line)
        length += len(line) + 1
        place += 1
    return "\n".join(lines) + "\n"


class LongStep:
    """Answers for `turns` turns, then ends the step."""

    def __init__(self, turns: int, size: int = KERNEL_BYTES) -> None:
        self.turns = turns
        self.size = size
        self.turn = 0

    def __call__(self, number: int, body: Body) -> Answer:
        if "about to be replaced by a summary" in str(body["messages"][-1]):
            return Answer([text("I had tried tile 32 and prefetching. " * 60)])
        self.turn += 1
        here = self.turn
        thought = {
            "type": "thinking",
            "thinking": f"Turn {here}: the loads wait for memory, so " + "I look further. " * 30,
            "signature": SIGNED,
        }
        words = text(f"I expect turn {here} to gain two per cent, since the loads overlap. " * 3)
        return Answer([thought, words, self._call(here)], piece=4000)

    def _call(self, here: int) -> Body:
        if here >= self.turns:
            return _use(here, "end_step", {"reason": "The step was long enough."})
        match here % 3:
            case 1:
                source = kernel(here, self.size)
                return _use(here, "write_file", {"file": "kernel.cpp", "text": source})
            case 2:
                return _use(here, "evaluate", {"title": f"idea {here}"})
        if here % 2:
            return _use(here, "read_candidate", {"first_line": 1, "last_line": 120})
        return _use(here, "list_attempts", {"last": 20})


def _use(here: int, name: str, arguments: Body) -> Body:
    return {"type": "tool_use", "id": f"toolu_long_{here:05d}", "name": name, "input": arguments}
