"""The toolbox: finds a tool, validates its arguments, runs it, shortens and records the answer."""

from __future__ import annotations

import difflib
import time
from collections.abc import Callable, Mapping, Sequence
from types import ModuleType
from typing import Any

from pydantic import ValidationError

from avo_tui.domain.base import Value
from avo_tui.domain.events import ToolCalled, ToolReturned, TroubleNoted
from avo_tui.operators.ports import Interrupted, StepEnded, Workbench
from avo_tui.operators.toolbox import (
    editing_tools,
    execution_tools,
    knowledge_tools,
    lineage_tools,
    memory_tools,
    quick_tools,
    repository_tools,
    step_tools,
    timing_tools,
)
from avo_tui.operators.toolbox.errors import ToolError
from avo_tui.operators.toolbox.running_call import RunningCall, Tell, runs_now, tell_nobody
from avo_tui.operators.toolbox.signature import signature
from avo_tui.operators.toolbox.switched_off import KERNEL, parts_off
from avo_tui.operators.toolbox.tool import (
    RESULT_LIMIT,
    Arguments,
    Group,
    Tool,
    ToolAnswer,
    ToolResult,
    cut_middle,
    first_lines,
)
from avo_tui.operators.toolbox.workspace import Workspace


def _of(*modules: ModuleType) -> list[Tool]:
    """The tools of these modules, in order."""
    return [tool for module in modules for tool in vars(module).values() if isinstance(tool, Tool)]


def _names(*modules: ModuleType) -> frozenset[str]:
    return frozenset(tool.name for tool in _of(*modules))


ALL_TOOLS = _of(
    lineage_tools, knowledge_tools, editing_tools, repository_tools, execution_tools, timing_tools,
    quick_tools, memory_tools, step_tools,
)  # fmt: skip

NEEDED = frozenset({
    "read_candidate", "write_file", "replace_text", "read_file", "search_files", "compile", "check",
    "evaluate", "submit", "end_step", "remember", "read_result",
})  # fmt: skip
"""Tools that every step needs: a set that a weak model can choose from."""

TOOLS_OF_PARTS: Mapping[str, frozenset[str]] = {
    "knowledge": _names(knowledge_tools),
    "memory": _names(memory_tools),
    "timing": _names(timing_tools, quick_tools) | {"scratch"},
    "extras": frozenset(tool.name for tool in ALL_TOOLS) - NEEDED,
}
"""The tools that go with a part that a run can do without. A scratch program can read a clock."""

OF_REPOSITORIES = _names(repository_tools)
OF_KERNELS = frozenset({"scratch", "disassemble", "profile", "quick_bench"})
"""The tools that only one kind of task has a use for."""

ARGUMENT_LIMIT = 2_000
"""Number of characters of an argument kept in the event; the recorded message has all of it."""


class ToolSpec(Value):
    """Description of a tool for a caller: name, text and schema of the arguments."""

    name: str
    group: Group
    description: str
    input_schema: dict[str, Any]


def specs(parts: frozenset[str] = frozenset()) -> list[ToolSpec]:
    """All tools but those of the parts that are switched off, in a fixed order, so that a prompt
    built from them stays the same."""
    return [
        ToolSpec(name=t.name, group=t.group, description=t.description, input_schema=t.schema())
        for t in tools(parts)
    ]


def tools(parts: frozenset[str]) -> list[Tool]:
    """The tools of a run that does without these parts."""
    off = OF_KERNELS if KERNEL in parts else OF_REPOSITORIES
    off = off.union(*(TOOLS_OF_PARTS[part] for part in parts - {KERNEL}))
    return [tool for tool in ALL_TOOLS if tool.name not in off]


class Toolbox:
    """The tools over one workspace; the same for the agent and for any other caller."""

    def __init__(
        self,
        bench: Workbench,
        workspace: Workspace | None = None,
        *,
        limit: int = RESULT_LIMIT,
        redact: Callable[[str], str] = lambda text: text,
        tell: Tell = tell_nobody,
    ) -> None:
        self._tell = tell
        self.bench = bench
        self.workspace = workspace or Workspace.restore(bench)
        self.limit = limit
        """Largest number of characters of an answer shown at once."""
        self._redact = redact
        self._without = parts_off(bench.reading.settings)
        self._tools: dict[str, Tool] = {tool.name: tool for tool in tools(self._without)}

    @property
    def names(self) -> frozenset[str]:
        """Names of all tools."""
        return frozenset(self._tools)

    def specs(self) -> list[ToolSpec]:
        """The tools of this run, in a fixed order."""
        return specs(self._without)

    async def call(self, name: str, arguments: Mapping[str, Any], call: str = "") -> ToolResult:
        """Run a tool without recording it. Raises only Interrupted and StepEnded."""
        try:
            tool = _offered(self._tools, name, self._without)
            answer = await tool.function(self.workspace, **dict(_parse(tool, arguments)))
        except ToolError as error:
            return self._result(False, str(error), call)
        except (Interrupted, StepEnded):
            raise
        except Exception as error:  # a bug in a tool must not end the agent's step
            sentence = f"{name} failed inside the toolbox: {type(error).__name__}: {error}"
            self.bench.recording.record(
                TroubleNoted(where=f"tool {name}", message=self._redact(sentence))
            )
            text = f"{sentence}. Nothing is known to have changed; try another way."
            return self._result(False, text, call)
        return self._result(True, answer, call)

    async def run(self, call: str, name: str, arguments: Mapping[str, Any]) -> ToolResult:
        """Run a tool and record call and result. Raises Interrupted and StepEnded."""
        self.bench.recording.record(ToolCalled(call=call, tool=name, arguments=_short(arguments)))
        started = time.monotonic()
        running = RunningCall(call, self.bench.recording.record, self._tell, self._redact)
        runs_now(running)
        with self.bench.evaluating.listening(running.hear):
            result = await self.call(name, arguments, call)
        self.returned(call, name, result, time.monotonic() - started)
        return result

    def returned(self, call: str, name: str, result: ToolResult, seconds: float = 0.0) -> None:
        """Record the result of a call, whether the tool was run or not."""
        self.bench.recording.record(
            ToolReturned(
                call=call,
                tool=name,
                ok=result.ok,
                summary=first_lines(result.text),
                ref=self.bench.recording.keep(result.whole),
                seconds=seconds,
            )
        )

    def refuse(self, call: str, name: str, text: str) -> ToolResult:
        """Answer a call that was not run, or not completed, and record that."""
        result = self._result(False, text, call)
        self.returned(call, name, result)
        return result

    def shown(self, whole: str, call: str) -> str:
        """The shortened form of a result; the same for each call."""
        return bounded(whole, self.limit, call)

    def _result(self, ok: bool, answer: str | ToolAnswer, call: str) -> ToolResult:
        if isinstance(answer, str):
            answer = ToolAnswer(answer)
        whole = self._redact(answer.text)
        return ToolResult(
            ok=ok, text=self.shown(whole, call), whole=whole, ends_step=answer.ends_step
        )


def bounded(whole: str, limit: int, call: str) -> str:
    """A result shortened for the caller: cut in the middle, with a note on how to read the rest."""
    pointer = f'read_result(call="{call}", offset={{offset}}) reads on from there' if call else ""
    return cut_middle(whole, limit, pointer)


def check_arguments(
    name: str, arguments: Mapping[str, Any], parts: frozenset[str] = frozenset()
) -> None:
    """Raises ToolError, with one sentence, if the tool does not exist, the arguments are invalid,
    or it goes with one of the `parts` that the run does without."""
    _parse(_offered({tool.name: tool for tool in tools(parts)}, name, parts), arguments)


def _offered(offered: Mapping[str, Tool], name: str, parts: frozenset[str]) -> Tool:
    """The tool of that name. Raises ToolError."""
    if name in offered:
        return offered[name]
    if KERNEL in parts and name in OF_KERNELS:
        raise ToolError(f"{name} is for kernels, and this task is a repository.")
    if any(name in TOOLS_OF_PARTS.get(part, ()) for part in parts):
        raise ToolError(f"{name} is switched off in this run. Go on without it.")
    raise ToolError(_no_tool(name, list(offered)))


def _no_tool(name: str, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1)
    guess = f" Did you mean {near[0]}?" if near else ""
    return f"There is no tool {name!r}.{guess} The tools are: {', '.join(known)}."


def _parse(tool: Tool, arguments: Mapping[str, Any]) -> Arguments:
    try:
        parsed: Arguments = tool.arguments.model_validate(dict(arguments))
        return parsed
    except ValidationError as error:
        problems = "; ".join(
            f"{'.'.join(str(p) for p in e['loc']) or 'arguments'}: {e['msg']}"
            for e in error.errors()[:5]
        )
        known = signature(tool.schema()) or "nothing"
        raise ToolError(
            f"The arguments of {tool.name} are not valid: {problems}. It takes: {known}."
        ) from None


def _short(arguments: Mapping[str, Any]) -> dict[str, Any]:
    def cut(value: Any) -> Any:
        if isinstance(value, str):
            return cut_middle(value, ARGUMENT_LIMIT)
        if isinstance(value, dict):
            return {str(k): cut(v) for k, v in value.items()}
        if isinstance(value, list):
            return [cut(v) for v in value[:50]]
        return value

    return {str(k): cut(v) for k, v in arguments.items()}
