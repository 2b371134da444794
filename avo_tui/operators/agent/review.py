"""The supervisor's review: asks the model, in a separate request, to assess the whole run."""

from __future__ import annotations

import json
from typing import Any

from avo_tui.domain.difference import unified
from avo_tui.domain.events import InterventionChanged
from avo_tui.domain.machine import machine_lines
from avo_tui.domain.records import Direction, Intervention, Version
from avo_tui.operators.agent.exchange import Exchange
from avo_tui.operators.agent.prompts import fenced, prompt
from avo_tui.operators.agent.prompts.memory import notes_text
from avo_tui.operators.agent.words import clean_text
from avo_tui.operators.ports import Workbench
from avo_tui.operators.toolbox.report_text import (
    attempt_line,
    resource_lines,
    score_table,
    version_line,
)
from avo_tui.operators.toolbox.tool import cut_middle

ATTEMPTS = 80
DIRECTIONS = 6
STOPS = 6
DIFFS = 5
"""Number of newest versions of the head's line whose diffs are shown."""
SOURCE = 60_000
"""Largest number of characters of the head's source."""
DIFF = 8_000
"""Largest number of characters of one diff."""

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "diagnosis": {"type": "string"},
        "stop": {"type": "array", "items": {"type": "string"}},
        "directions": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "text": {"type": "string"},
                    "parent": {"anyOf": [{"type": "integer"}, {"type": "null"}]},
                },
                "required": ["text", "parent"],
                "additionalProperties": False,
            },
        },
    },
    "required": ["diagnosis", "stop", "directions"],
    "additionalProperties": False,
}
"""JSON schema of a review, for endpoints that can enforce one."""


async def review(exchange: Exchange, intervention: Intervention) -> Intervention | None:
    """The intervention with the directions of a review; unchanged if the review failed.

    None if the person interrupted it: it is to be asked for again. Faults that pass are waited out.
    """
    bench, transcript = exchange.bench, exchange.transcript
    text = transcript.redact(trajectory(bench, intervention))
    messages: list[dict[str, object]] = [
        {"role": "user", "content": [{"type": "text", "text": text}]}
    ]
    system: list[dict[str, object]] = [{"type": "text", "text": prompt("supervisor")}]
    reply = None
    while reply is None:
        if bench.control.budget_left() is not None:
            return intervention
        reply = await exchange.ask(messages, [], system=system, plain=True, schema=SCHEMA)
        if reply is None and exchange.interrupted:
            return None
        if reply is None and exchange.given_up:
            return intervention
    texts = (str(b.get("text", "")) for b in reply.content if b.get("type") == "text")
    answer = clean_text("".join(texts))
    known = {v.number for v in bench.reading.versions()}
    try:
        diagnosis, directions, stop = parse(answer, known)
    except ValueError as error:
        transcript.trouble("supervisor", f"the review could not be read: {error}")
        return intervention
    now = next((i for i in bench.reading.interventions() if i.id == intervention.id), intervention)
    if not now.review_wanted:
        return now  # the person has given directions meanwhile, which take precedence
    redact = transcript.redact
    directions = [d.replaced(text=redact(d.text)) for d in directions]
    update = {
        "review": redact(diagnosis),
        "directions": tuple(directions),
        "avoid": tuple(redact(s) for s in stop),
    }
    bench.recording.record(
        InterventionChanged.model_validate(
            {"intervention": intervention.id, "state": "active", **update}
        )
    )
    return intervention.model_copy(update=update)


def parse(answer: str, versions: set[int]) -> tuple[str, list[Direction], list[str]]:
    """(diagnosis, directions, what to stop doing) from the model's answer. Raises ValueError."""
    begin, end = answer.find("{"), answer.rfind("}")
    if begin < 0 or end < begin:
        raise ValueError("no JSON object in it")
    try:
        body = json.loads(answer[begin : end + 1])
    except RecursionError:
        raise ValueError("it is nested without end") from None
    if not isinstance(body, dict) or not isinstance(body.get("directions"), list):
        raise ValueError("no list of directions in it")
    directions = []
    for item in body["directions"][:DIRECTIONS]:
        if not isinstance(item, dict) or not str(item.get("text", "")).strip():
            continue
        parent = item.get("parent")
        valid = isinstance(parent, int) and not isinstance(parent, bool) and parent in versions
        directions.append(
            Direction(text=str(item["text"]).strip()[:2000], parent=parent if valid else None)
        )
    if not directions:
        raise ValueError("no direction in it")
    given = body.get("stop")
    stop = (
        [str(s).strip()[:600] for s in given if str(s).strip()] if isinstance(given, list) else []
    )
    return str(body.get("diagnosis", "")).strip()[:2000], directions, stop[:STOPS]


def trajectory(bench: Workbench, intervention: Intervention) -> str:
    """The text that the review is based on, built from the records."""
    head, best = bench.reading.head, bench.reading.best()
    attempts = [a for a in bench.reading.attempts() if a.verdict is not None][-ATTEMPTS:]
    resources = resource_lines(head.resources)
    machine = bench.reading.machine
    profiles = bench.reading.profiles(head.candidate)
    parts = [
        f"# Task: {bench.reading.task.title}\n\n{bench.reading.task.description}",
        f"# Why you were called\n\n{intervention.trigger}\n{intervention.diagnosis}",
        "# Lineage\n\n"
        + "\n".join(
            version_line(v, head.number, best.number) for v in bench.reading.versions()[-60:]
        ),
        f"# Score of the head, v{head.number}\n\n{score_table(head.score)}"
        + (f"\n{resources}" if resources else ""),
        "# Machine\n\n" + ("\n".join(machine_lines(machine)) if machine else "not known"),
        "# Profile of the head\n\n" + (profiles[-1].summary if profiles else "none was made"),
        f"# Source of the head, v{head.number}\n\n{source_of_head(bench)}",
        f"# What the last versions changed\n\n{last_diffs(bench)}",
        "# Attempts, oldest first\n\n" + ("\n".join(attempt_line(a) for a in attempts) or "none"),
        f"# The engineer's notes\n\n{notes_text(bench.reading.notes(), 12_000)}",
    ]
    return "\n\n".join(parts)


def source_of_head(bench: Workbench) -> str:
    """Every file of the head, fenced; cut in the middle where it is very long."""
    candidate = bench.reading.candidate(bench.reading.head.candidate)
    text = "\n".join(fenced(name, body) for name, body in candidate.files.items())
    return cut_middle(text, SOURCE)


def last_diffs(bench: Workbench) -> str:
    """The newest versions of the head's line, each as a diff to its parent with its gain."""
    by_number = {v.number: v for v in bench.reading.versions()}
    line: list[Version] = []
    version = bench.reading.head
    while version.parent is not None and len(line) < DIFFS:
        line.append(version)
        version = by_number[version.parent]
    parts = []
    for v in reversed(line):
        assert v.parent is not None
        parent = by_number[v.parent]
        diff = unified(
            bench.reading.candidate(parent.candidate), bench.reading.candidate(v.candidate)
        ).text
        gain = f"{v.gate.gain:+.2%}" if v.gate.gain is not None else "gain not known"
        parts.append(f"v{v.parent} → v{v.number} ({gain}): {v.summary}\n{cut_middle(diff, DIFF)}")
    return "\n\n".join(parts) or "The head is the seed; there is none yet."
