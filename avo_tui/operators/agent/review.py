"""The supervisor's review: a look at the whole trajectory by the model, in a request of its own."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from avo_tui.domain.events import InterventionChanged
from avo_tui.domain.records import Direction, Intervention
from avo_tui.operators.agent.memory import notes_text
from avo_tui.operators.agent.prompts import prompt
from avo_tui.operators.toolbox.render import attempt_line, score_table, version_line

if TYPE_CHECKING:
    from avo_tui.operators.agent.loop import AgentStep

ATTEMPTS = 80
DIRECTIONS = 6


async def review(step: AgentStep, intervention: Intervention) -> Intervention:
    """The intervention with directions from a review; as it was where the review failed."""
    text = f"{prompt('supervisor')}\n{trajectory(step, intervention)}"
    messages: list[dict[str, object]] = [
        {"role": "user", "content": [{"type": "text", "text": text}]}
    ]
    reply = await step.ask(messages, [], plain=True)
    if reply is None:
        return intervention
    answer = "".join(str(b["text"]) for b in reply.content if b["type"] == "text")
    known = {v.number for v in step.bench.reading.versions()}
    try:
        diagnosis, directions = parse(answer, known)
    except ValueError as error:
        step.trouble("supervisor", f"the review could not be read: {error}")
        return intervention
    now = next(
        (i for i in step.bench.reading.interventions() if i.id == intervention.id), intervention
    )
    if not now.review_wanted:
        return now  # the person gave directions meanwhile, and they stand
    step.bench.recording.record(
        InterventionChanged(
            intervention=intervention.id,
            state="active",
            directions=tuple(directions),
            review=diagnosis,
        )
    )
    return intervention.model_copy(update={"review": diagnosis, "directions": tuple(directions)})


def parse(answer: str, versions: set[int]) -> tuple[str, list[Direction]]:
    """(diagnosis, directions) from the model's answer. Raises ValueError."""
    begin, end = answer.find("{"), answer.rfind("}")
    if begin < 0 or end < begin:
        raise ValueError("no JSON object in it")
    body = json.loads(answer[begin : end + 1])
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
    return str(body.get("diagnosis", "")).strip()[:2000], directions


def trajectory(step: AgentStep, intervention: Intervention) -> str:
    """Everything the review is to look at, from the records."""
    bench = step.bench
    head, best = bench.reading.head, bench.reading.best()
    attempts = [a for a in bench.reading.attempts() if a.verdict is not None][-ATTEMPTS:]
    parts = [
        f"# Task: {bench.reading.task.title}\n\n{bench.reading.task.description}",
        f"# Why you were called\n\n{intervention.trigger}\n{intervention.diagnosis}",
        "# Lineage\n\n"
        + "\n".join(
            version_line(v, head.number, best.number) for v in bench.reading.versions()[-60:]
        ),
        f"# Score of the head, v{head.number}\n\n{score_table(head.score)}",
        "# Attempts, oldest first\n\n" + ("\n".join(attempt_line(a) for a in attempts) or "none"),
        f"# The engineer's notes\n\n{notes_text(bench.reading.notes(), 12_000)}",
    ]
    return step.redact("\n\n".join(parts))
