"""The parts of a tool: a typed function with a description, limited output and useful errors."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import cache
from inspect import signature
from typing import TYPE_CHECKING, Any, Literal, get_type_hints

from pydantic import BaseModel, ConfigDict, create_model

from avo_tui.domain.base import Value

if TYPE_CHECKING:
    from avo_tui.operators.ports import StepOutcome

Group = Literal["lineage", "knowledge", "candidate", "execution", "self"]

RESULT_LIMIT = 16_000
"""Number of characters of a tool's result that the caller gets; the full text is an object."""


class Arguments(BaseModel):
    """The arguments of a tool. An argument that is not declared is an error, not ignored."""

    model_config = ConfigDict(extra="forbid", str_strip_whitespace=False)


class ToolResult(Value):
    """The answer to one call."""

    ok: bool
    text: str
    """What the caller is shown: about the limit at most; where it is cut, it says so."""
    whole: str
    """The complete answer."""
    ends_step: StepOutcome | None = None
    """Outcome of the step; set by a tool that ends the step."""


@dataclass(frozen=True)
class ToolAnswer:
    """The result of a tool's function, before it is shortened."""

    text: str
    ends_step: StepOutcome | None = None


Handler = Callable[..., Awaitable[str | ToolAnswer]]


@dataclass(frozen=True)
class Tool:
    """One tool of the toolbox."""

    name: str
    group: Group
    description: str
    arguments: type[Arguments]
    function: Handler

    def schema(self) -> dict[str, Any]:
        """JSON schema of the arguments, without titles."""
        return _schema(self.arguments)


def tool(group: Group) -> Callable[[Handler], Tool]:
    """Makes a tool of a function: its name, its docstring and its parameters after the workspace
    are what a caller is told and may give."""

    def make(function: Handler) -> Tool:
        hints, parameters = get_type_hints(function), list(signature(function).parameters.values())
        fields: dict[str, Any] = {p.name: (hints[p.name], p.default) for p in parameters[1:]}
        name, description = function.__name__, " ".join((function.__doc__ or "").split())
        arguments = create_model(name, __base__=Arguments, **fields)
        return Tool(name, group, description, arguments, function)

    return make


@cache
def _schema(arguments: type[Arguments]) -> dict[str, Any]:
    schema: dict[str, Any] = _plain(arguments.model_json_schema())
    schema.pop("description", None)  # of the class; the tool's own says more
    return schema


def _plain(schema: Any) -> Any:
    if isinstance(schema, dict):
        return {
            key: _plain(value)
            for key, value in schema.items()
            if not (key == "title" and isinstance(value, str))
            and not (key == "default" and value in (None, "", [], {}))
        }
    if isinstance(schema, list):
        return [_plain(item) for item in schema]
    return schema


def cut_middle(text: str, limit: int, pointer: str = "") -> str:
    """At most about `limit` characters: head and tail are kept, the gap says how much is missing.

    `pointer` tells where the whole can be read; `{offset}` in it becomes the character at which the
    missing part begins. Cuts fall on line ends where there are any.
    """
    if len(text) <= limit:
        return text
    head = text[: limit * 2 // 3]
    tail = text[-(limit // 3) :]
    newline = head.rfind("\n")
    if newline > len(head) // 2:
        head = head[: newline + 1]
    newline = tail.find("\n")
    if 0 <= newline < len(tail) // 2:
        tail = tail[newline + 1 :]
    missing = len(text) - len(head) - len(tail)
    where = "; " + pointer.replace("{offset}", str(len(head))) if pointer else ""
    gap = f"[… {missing} of {len(text)} characters left out{where} …]"
    return f"{head.rstrip()}\n{gap}\n{tail.lstrip()}"


def first_lines(text: str, lines: int = 3, width: int = 300) -> str:
    """The first lines of a text, for a summary, without a heading whose lines are left out."""
    kept = [line for line in text.splitlines() if line.strip()][:lines]
    if len(kept) > 1 and kept[-1].endswith(":"):
        kept.pop()
    return "\n".join(kept)[:width]
