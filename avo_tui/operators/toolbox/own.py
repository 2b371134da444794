"""Tools for the operator's own affairs: plan, memory, submission, the end of the step."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from avo_tui.domain.base import Value
from avo_tui.domain.events import PlanSet, ToolReturned
from avo_tui.domain.records import PlanItem
from avo_tui.operators.ports import StepOutcome
from avo_tui.operators.toolbox.base import Answer, Arguments, Tool, ToolError
from avo_tui.operators.toolbox.render import plan_text
from avo_tui.operators.toolbox.workspace import Workspace


class Item(Value):
    """One line of the plan."""

    text: str = Field(min_length=1, max_length=300, description="What is to be done, one line.")
    status: Literal["todo", "doing", "done", "dropped"] = Field(default="todo")


class SetPlan(Arguments):
    """The plan, whole."""

    title: str = Field(
        min_length=3,
        max_length=200,
        description="The hypothesis in one line, with the gain you predict and why.",
    )
    items: list[Item] = Field(min_length=1, max_length=20, description="The plan, in order.")


class Remember(Arguments):
    """A note."""

    category: Literal["worked", "failed", "idea", "fact"] = Field(
        description="worked/failed: what was tried and why it came out so; idea: worth trying; "
        "fact: something learned about the machine or the task."
    )
    text: str = Field(
        min_length=5, max_length=800, description="One self-contained note with its numbers."
    )


class Recall(Arguments):
    """Filters over the notes."""

    category: Literal["worked", "failed", "idea", "fact"] | None = Field(default=None)
    containing: str = Field(default="", max_length=100, description="Only notes with this text.")


class Forget(Arguments):
    """Which note."""

    note: str = Field(description="Id of the note, as recall shows it.")


class Submit(Arguments):
    """What to say about the version."""

    summary: str = Field(
        min_length=10,
        max_length=2000,
        description="What changed and why it is faster; the first line stands alone in lists.",
    )


class EndStep(Arguments):
    """Why the step ends without a version."""

    reason: str = Field(min_length=10, max_length=1000, description="What was learned.")


class ReadResult(Arguments):
    """Which result, from where."""

    call: str = Field(description="Id of the call, as the cut result names it.")
    offset: int = Field(default=0, ge=0, description="Character to begin at.")
    limit: int = Field(default=12_000, ge=200, le=14_000, description="Characters to read.")


async def _set_plan(space: Workspace, arguments: SetPlan) -> Answer:
    items = tuple(PlanItem(text=i.text, status=i.status) for i in arguments.items)
    if (arguments.title, items) == (space.plan_title, space.plan):
        return Answer("The plan is already so.")
    space.plan_title, space.plan = arguments.title, items
    space.bench.record(PlanSet(title=arguments.title, items=items))
    open_items = sum(i.status in {"todo", "doing"} for i in items)
    return Answer(f"Plan set: {len(items)} items, {open_items} open.")


async def _remember(space: Workspace, arguments: Remember) -> Answer:
    for note in space.bench.notes():
        if note.text.strip() == arguments.text.strip():
            return Answer(f"The memory holds this already, as note {note.id}.")
    try:
        note = space.bench.write_note(arguments.category, arguments.text)
    except ValueError as error:
        raise ToolError(f"{error} Forget notes that no longer help, or merge several.") from None
    return Answer(f"Kept as note {note.id}; every later step will see it.")


async def _recall(space: Workspace, arguments: Recall) -> Answer:
    wanted = arguments.containing.lower()
    notes = [
        n
        for n in space.bench.notes()
        if (arguments.category is None or n.category == arguments.category)
        and wanted in n.text.lower()
    ]
    if not notes:
        return Answer("No notes match.")
    return Answer(
        "\n".join(f"[{n.id}] {n.category} (step {n.step}, by {n.author}): {n.text}" for n in notes)
    )


async def _forget(space: Workspace, arguments: Forget) -> Answer:
    try:
        space.bench.forget_note(arguments.note)
    except KeyError:
        raise ToolError(f"There is no note {arguments.note!r}; recall shows the ids.") from None
    return Answer("Forgotten.")


async def _submit(space: Workspace, arguments: Submit) -> Answer:
    working = space.working
    if working.id == space.parent.id:
        raise ToolError(
            "The working candidate is the unchanged parent; there is nothing to submit."
        )
    attempt = space.evaluated.get(working.id)
    if attempt is None:
        raise ToolError(
            "The working candidate was not evaluated in this step (it may have been edited since)."
            " Call evaluate first; submit only what evaluate found correct."
        )
    if attempt.report.score is None:
        raise ToolError(
            f"Attempt {attempt.step}.{attempt.number} is {attempt.report.verdict.value}; only a"
            " correct candidate can pass the gate. Mend it and evaluate again."
        )
    result = await space.bench.submit(
        attempt, plan_text(space.plan_title, space.plan), arguments.summary
    )
    decision = result.decision.reason if result.decision else result.reason
    if result.version is not None:
        version = result.version
        return Answer(
            f"Committed as v{version.number}: {decision}. The step ends here.",
            StepOutcome(outcome="committed", reason=f"v{version.number}: {decision}"),
        )
    reason = result.reason or decision
    return Answer(
        f"Not committed: {reason}\nThe gate compares with v{space.bench.best().number} in runs"
        " interleaved with it. A gain inside the noise does not pass: find a larger one, combine"
        " it with another change, or end_step with what you learned."
    )


async def _end_step(space: Workspace, arguments: EndStep) -> Answer:
    return Answer(
        "The step ends without a version.", StepOutcome(outcome="nothing", reason=arguments.reason)
    )


async def _read_result(space: Workspace, arguments: ReadResult) -> Answer:
    for event in space.bench.step_events():
        if isinstance(event, ToolReturned) and event.call == arguments.call and event.ref:
            text = space.bench.fetch(event.ref).decode(errors="replace")
            part = text[arguments.offset : arguments.offset + arguments.limit]
            end = arguments.offset + len(part)
            more = f"\n(go on with offset {end} of {len(text)})" if end < len(text) else ""
            return Answer((part or f"(the result has {len(text)} characters)") + more)
    raise ToolError(f"This step has no result of a call {arguments.call!r}.")


TOOLS = (
    Tool(
        "set_plan",
        "self",
        "Set the plan that the person sees: the hypothesis with its predicted gain, and the items "
        "with their status. Call it at the start and whenever an item's status changes.",
        SetPlan,
        _set_plan,
    ),
    Tool(
        "remember",
        "self",
        "Write a note into the memory that every later step opens with. Short, self-contained, "
        "with numbers; failures and their causes are worth as much as successes.",
        Remember,
        _remember,
    ),
    Tool("recall", "self", "Read the notes of the memory, with their ids.", Recall, _recall),
    Tool("forget", "self", "Remove a note that is wrong or no longer helps.", Forget, _forget),
    Tool(
        "submit",
        "self",
        "Submit the working candidate to the acceptance gate. It must have been evaluated as "
        "correct in this step. The gate measures it again, interleaved with the best version; if "
        "it passes it is committed and the step ends.",
        Submit,
        _submit,
    ),
    Tool(
        "end_step",
        "self",
        "End the step without a version when this line is exhausted, saying what was learned.",
        EndStep,
        _end_step,
    ),
    Tool(
        "read_result",
        "self",
        "Read on in a result that was cut or cleared from the conversation, by its call id.",
        ReadResult,
        _read_result,
    ),
)
