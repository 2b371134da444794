"""A recorded conversation: the assistant's turns of each step, and the source it started from."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError

from avo_tui.domain.base import ObjectId, Value
from avo_tui.domain.budget import Spend
from avo_tui.domain.candidate import Candidate
from avo_tui.domain.events import (
    Event,
    MessageRecorded,
    NoteWritten,
    StepStarted,
    VersionCommitted,
)
from avo_tui.operators.agent.model.prices import Pricing

SHIPPED = "attention_cpu"
"""Name of the recording that is included in the package."""


class RecordedTurn(Value):
    """One answer of the model."""

    content: list[dict[str, Any]]
    stop_reason: str = "tool_use"
    usage: dict[str, Any] = Field(default_factory=dict)


class RecordedStep(Value):
    """One variation step."""

    base: Candidate
    """Source that the step started from."""
    turns: tuple[RecordedTurn, ...]


class Recording(Value):
    """A conversation that can be replayed."""

    format: int = 1
    task: str
    title: str = ""
    about: str = ""
    """Description of the origin of the turns and the usage."""
    model: str = ""
    steps: tuple[RecordedStep, ...]

    def spend(self, pricing: Pricing) -> Spend:
        """Tokens and dollars of the recorded answers, at these prices."""
        total = Spend()
        for step in self.steps:
            for turn in step.turns:
                total = total + pricing.spend(turn.usage)
        return total


def load(name: str | None) -> Recording:
    """The recording of that name in the package, or in the file at that path.

    Raises ValueError with one sentence.
    """
    name = name or SHIPPED
    shipped = files(__package__) / f"{name}.json"
    path = Path(name)
    if "/" not in name and shipped.is_file():
        text = shipped.read_text(encoding="utf-8")
    elif path.is_file():
        text = path.read_text(encoding="utf-8")
    else:
        raise ValueError(f"there is no recording {name!r}; give the path of a recording's file")
    try:
        return Recording.model_validate_json(text)
    except ValidationError as error:
        raise ValueError(f"{name} is not a recording: {error.errors()[0]['msg']}") from None


def _without_others(body: Mapping[str, Any], own: set[str]) -> Mapping[str, Any]:
    """The answer without names of notes that are not part of the conversation."""
    content = [
        {**block, "input": {**block["input"], "built_on": _kept(block["input"]["built_on"], own)}}
        if block["type"] == "tool_use" and "built_on" in block["input"]
        else block
        for block in body["content"]
    ]
    return {**body, "content": content}


def _kept(names: Any, own: set[str]) -> list[Any]:
    return [n for n in names if str(n).strip(" []") in own] if isinstance(names, list) else []


def from_events(
    task: str,
    events: Iterable[Event],
    fetch: Callable[[ObjectId], bytes],
    *,
    title: str = "",
    about: str = "",
) -> Recording:
    """Make a recording from a session's events.

    Steps without an answer are left out, and so are names of notes that the conversation did not
    write itself. Raises ValueError if there are no answers at all.
    """
    own: set[str] = set()
    versions: dict[int, ObjectId] = {}
    steps: list[tuple[Candidate, list[RecordedTurn]]] = []
    model = ""
    known = False
    """Whether the source that the running step starts from is known."""
    for event in events:
        match event:
            case VersionCommitted():
                versions[event.version.number] = event.version.candidate
            case StepStarted():
                # a step whose beginning is missing in a damaged session cannot be replayed
                known = event.parent in versions
                if known:
                    base = Candidate.model_validate_json(fetch(versions[event.parent]))
                    steps.append((base, []))
            case MessageRecorded(role="assistant") if known:
                body: Mapping[str, Any] = json.loads(fetch(event.ref))
                model = str(body.get("model") or model)
                steps[-1][1].append(RecordedTurn.model_validate(_without_others(body, own)))
            case NoteWritten() if event.note.author != "person":
                own.add(event.note.id)
            case _:
                pass
    kept = tuple(RecordedStep(base=base, turns=tuple(turns)) for base, turns in steps if turns)
    if not kept:
        raise ValueError("this session holds no answer of a model; there is nothing to record")
    return Recording(task=task, title=title, about=about, model=model, steps=kept)
