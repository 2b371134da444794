"""Tools for the step itself: plan, submission, end of the step, reading long results."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from avo_tui.domain.base import Value
from avo_tui.domain.events import PlanSet, ToolReturned
from avo_tui.domain.evidence import LOOKS, MOST_REPLICATES, next_look
from avo_tui.domain.gate_rules import may_settle
from avo_tui.domain.memory import BUILT_ON_LIMIT
from avo_tui.domain.records import PlanItem
from avo_tui.operators.ports import AttemptResult, StepOutcome, SubmitResult
from avo_tui.operators.toolbox.errors import ToolError
from avo_tui.operators.toolbox.memory_tools import notes_named
from avo_tui.operators.toolbox.report_text import (
    first_sentence,
    gains_text,
    plan_text,
    report_text,
)
from avo_tui.operators.toolbox.running_call import unreturned
from avo_tui.operators.toolbox.timing_tools import IF_BUSY, IfBusy, busy_line, when_quiet
from avo_tui.operators.toolbox.tool import ToolAnswer, tool
from avo_tui.operators.toolbox.workspace import Workspace, load_candidate

Status = Literal["todo", "doing", "done", "dropped"]


class Item(Value):
    """One line of the plan."""

    text: str = Field(min_length=1, max_length=300, description="What is to be done, one line.")
    status: Status = Field(default="todo")


@tool("self")
async def set_plan(
    space: Workspace,
    title: str = Field(
        default="",
        max_length=200,
        description="The hypothesis in one line, with the gain you predict and why. Without it, the"
        " title stays.",
    ),
    items: list[Item] = Field(
        default_factory=list,
        max_length=20,
        description="The plan, in order. Without any, the items stay.",
    ),
    status: dict[int, Status] = Field(
        default_factory=dict,
        description='Items whose status changes, by number: {"1": "done", "2": "doing"}.',
    ),
) -> str:
    """Set the plan that the person sees: the hypothesis with its predicted gain, and the items
    with their status. Call it at the start; later, `status` alone says what was done."""
    title = title or space.plan_title
    plan = [PlanItem(text=i.text, status=i.status) for i in items] or list(space.plan)
    if len(title) < 3 or not plan:
        raise ToolError("There is no plan yet: give it a title (3 characters or more) and items.")
    for number, word in status.items():
        if not 1 <= number <= len(plan):
            raise ToolError(f"There is no item {number}; the plan has {len(plan)}.")
        plan[number - 1] = plan[number - 1].replaced(status=word)
    if (title, tuple(plan)) == (space.plan_title, space.plan):
        return "The plan is already so."
    space.plan_title, space.plan = title, tuple(plan)
    space.bench.recording.record(PlanSet(title=title, items=space.plan))
    open_items = sum(i.status in {"todo", "doing"} for i in plan)
    return f"Plan set: {len(plan)} items, {open_items} open."


_SETTLE = (
    'It is not refused: submit(until="settled") adds pairs until it is accepted or refused, or'
    " combine it with another change."
)
_GAIN_WANTED = (
    "A gain inside the noise does not pass: find a larger one, combine it with another change, or"
    " end_step with what you learned."
)


_UNTIL: Any = Field(
    default="decided",
    description="`settled`: where the gate finds the gain unclear, pairs are added until it is"
    " accepted or refused, or until `most_pairs`. Without it, an unclear candidate is rejected"
    " and may be submitted again, which adds pairs.",
)
_MOST_PAIRS: Any = Field(
    default=MOST_REPLICATES,
    ge=LOOKS[0],
    le=MOST_REPLICATES,
    description="With `settled`: pairs to measure at most, all together. The gate decides after"
    " 2, 4, 8, 16, 24 and 32; a number between counts as the next of these.",
)


@tool("self")
async def submit(
    space: Workspace,
    summary: str = Field(
        min_length=10,
        max_length=2000,
        description="What changed and why it is faster, in 10 characters at least; the first line"
        " stands alone in lists.",
    ),
    idea: str = Field(
        default="",
        max_length=200,
        description="What this very candidate changes and why that should be faster, in one line:"
        " the version is listed under it. The plan stays the step's and may be of another idea by"
        " now. Without it, the title of its evaluation.",
    ),
    built_on: list[str] = Field(
        default_factory=list,
        max_length=BUILT_ON_LIMIT,
        description="Ids of the notes of the memory that led to this version, if any did: what "
        "they said to try, to avoid or to reckon with.",
    ),
    until: Literal["decided", "settled"] = _UNTIL,
    most_pairs: int = _MOST_PAIRS,
    if_busy: IfBusy = IF_BUSY,
    attempt: str | None = Field(
        default=None,
        pattern=r"^\d+\.\d+$",
        description="Attempt of this step to submit in place of the working candidate, such as"
        " 12.3: its source becomes the working candidate.",
    ),
) -> str | ToolAnswer:
    """Submit the working candidate, or an attempt of this step, to the acceptance gate; one that
    was not evaluated in this step is evaluated first. The gate measures it again, interleaved
    with the best version; if it passes it is committed and the step ends. Name the notes that
    it was built on."""
    _take_up(space, attempt)
    notes = notes_named(space, built_on)
    why, waited = await when_quiet(space, if_busy)
    if why:
        return why
    idea = " ".join(idea.split())
    tried = space.evaluated.get(space.working.id) or await _evaluated(
        space, idea or first_sentence(summary)
    )
    if tried.report.score is None:
        raise ToolError(
            f"Not submitted: attempt {tried.step}.{tried.number} is not correct, and only a"
            f" correct candidate can pass the gate.\n{report_text(tried.report)}"
        )
    busy = waited or busy_line(space)
    plan = plan_text(space.plan_title, space.plan)
    idea = idea or _title(space, tried)
    while True:
        result = await space.bench.evaluating.submit(tried, plan, summary, notes, idea=idea)
        most = next_look(most_pairs - 1) if until == "settled" else 0
        if not may_settle(result.decision, most):
            break
    return _answer(space, result, busy)


def _take_up(space: Workspace, attempt: str | None) -> None:
    """Make the attempt that is named the working candidate. Raises ToolError."""
    if attempt is not None:
        source = load_candidate(space.bench, space.attempt(attempt).candidate)
        if source.id != space.working.id:
            space.change(source, f"Took the source of attempt {attempt}")
    if space.working.id == space.parent.id:
        raise ToolError(
            "The working candidate is the unchanged parent; there is nothing to submit."
        )


def _answer(space: Workspace, result: SubmitResult, busy: str) -> str | ToolAnswer:
    """What the gate decided on the working candidate, and what to do next."""
    decision = result.decision.reason if result.decision else result.reason
    took = f"\n{result.decision.time}" if result.decision and result.decision.time else ""
    took += f"\n{busy}" if busy and result.decision and result.decision.replicates else ""
    gains = gains_text(space.bench.reading.paired(space.working.id))
    measured = f"\n{gains}" if gains else ""
    if result.version is not None:
        version = result.version
        measured += "".join(f"\n{remark}" for remark in version.score.remarks)
        return ToolAnswer(
            f"Committed as v{version.number}: {decision}. The step ends here.{took}{measured}",
            StepOutcome(outcome="committed", reason=f"v{version.number}: {decision}"),
        )
    reason = result.reason or decision
    advice = _SETTLE if may_settle(result.decision, MOST_REPLICATES) else _GAIN_WANTED
    return (
        f"Not committed: {reason}\nThe gate compares with v{space.bench.reading.best().number} in"
        f" runs interleaved with it. {advice}{took}{measured}"
    )


async def _evaluated(space: Workspace, title: str) -> AttemptResult:
    """Evaluate the working candidate, which was not evaluated in this step. Raises ToolError."""
    if (used_up := space.bench.control.budget_left()) is not None:
        raise ToolError(
            f"The working candidate was not evaluated in this step, and nothing more can be:"
            f" {used_up}. An attempt of this step may still be submitted (submit attempt=…)."
        )
    space.running.begin("evaluates the candidate before the gate")
    result = await space.bench.evaluating.evaluate(space.working, title)
    space.evaluated[result.candidate] = result
    if result.report.score is not None:
        space.running.begin(
            "at the gate",
            f"attempt {result.step}.{result.number}: {result.report.score.aggregate:.4f} of"
            f" {result.report.score.reference_baseline}",
        )
    return result


def _title(space: Workspace, attempt: AttemptResult) -> str:
    """The title under which a candidate was evaluated."""
    named = space.bench.reading.attempts(attempt.step)
    return next((a.title for a in named if a.number == attempt.number), "")


@tool("self")
async def end_step(
    space: Workspace,
    reason: str = Field(min_length=10, max_length=1000, description="What was learned."),
) -> ToolAnswer:
    """End the step without a version when this line is exhausted, saying what was learned."""
    return ToolAnswer(
        "The step ends without a version.", StepOutcome(outcome="nothing", reason=reason)
    )


@tool("self")
async def read_result(
    space: Workspace,
    call: str = Field(description="Id of the call, as the cut result names it."),
    offset: int = Field(default=0, ge=0, description="Character to begin at."),
    limit: int = Field(default=12_000, ge=200, le=14_000, description="Characters to read."),
) -> str:
    """Read on in a result that was cut or cleared from the conversation, by its call id."""
    for event in space.bench.reading.step_events():
        if isinstance(event, ToolReturned) and event.call == call and event.ref:
            text = space.bench.reading.fetch(event.ref).decode(errors="replace")
            part = text[offset : offset + limit]
            end = offset + len(part)
            more = f"\n(go on with offset {end} of {len(text)})" if end < len(text) else ""
            return (part or f"(the result has {len(text)} characters)") + more
    if results := unreturned(space.bench.reading.step_events()).get(call):
        lines = "\n".join(results)
        return f"This call has given no answer. What it brought so far:\n{lines}"
    raise ToolError(f"This step has no result of a call {call!r}.")
