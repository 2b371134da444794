"""What a step's conversation begins with: lineage, head, failures, memory, words of the person."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from avo_tui.domain.base import Value
from avo_tui.domain.budget import cap_states
from avo_tui.domain.candidate import Candidate
from avo_tui.domain.commands import MAX_TEXT
from avo_tui.domain.difference import unified
from avo_tui.domain.machine import MachineInfo, machine_lines, shares
from avo_tui.domain.questions import tells_times
from avo_tui.domain.records import Attempt, Hint, Intervention
from avo_tui.domain.task import TaskInfo
from avo_tui.operators.agent.prompts import fenced, fill, material
from avo_tui.operators.agent.prompts.memory import memory_text
from avo_tui.operators.draft import Draft
from avo_tui.operators.ports import Workbench
from avo_tui.operators.toolbox.report_text import (
    LINEAGE_HEADING,
    attempt_line,
    report_text,
    resource_lines,
    score_table,
    version_line,
)
from avo_tui.operators.toolbox.switched_off import off_text, parts_off
from avo_tui.operators.toolbox.tool import cut_middle, first_lines
from avo_tui.operators.toolbox.workspace import load_candidate


class OpeningLimits(Value):
    """How much of each part an opening shows."""

    newest_versions: int = 20
    best_versions: int = 5
    rejected: int = 25
    source: int = 60_000
    """Characters of the head's source; where it is `whole_source_only` and does not fit, a pointer
    says how long it is and how to read it."""
    whole_source_only: bool = False
    memory: int | None = None
    """Characters of notes; None for all that the memory may hold."""
    line: int = 700
    """Characters of the line about a rejected attempt."""
    profile: int = 6_000
    """Characters of each profile, and of each part of the head's figures."""
    hint: int = MAX_TEXT
    report: int = 4_000
    """Characters of a failed attempt's report."""
    diff: int = 16_000
    """Characters of a draft's diff to the parent."""
    detailed: int = 3
    """Newest rejected attempts that are told with where and why they failed."""


GATES = {
    "strict": "Gate `strict`: the gain over the best version must exceed the measured noise.",
    "paper": "Gate `paper`: the aggregate must match or improve the best version's.",
    "vector": "Gate `vector`: no configuration may fall beyond its noise, one must improve.",
}


MOST_TITLES = 40
"""Documents of K that the system prompt names."""


def knowledge_text(documents: Sequence[tuple[str, str]]) -> str:
    """The titles of K's documents, by which the agent knows what it need not recall; the program's
    own documentation is left out."""
    titles = [f"- `{name}`: {title}" for name, title in documents if not name.startswith("docs:")]
    if len(titles) > MOST_TITLES:
        titles[MOST_TITLES:] = [f"- and {len(titles) - MOST_TITLES} more: list_knowledge"]
    return material("\n".join(["", "The knowledge base holds:", "", *titles])) if titles else ""


def task_text(task: TaskInfo, machine: MachineInfo | None) -> str:
    """The part of the system prompt on task and machine; the same in every step."""
    lines = []
    for c in task.configurations:
        parameters = ", ".join(f"{k}={v}" for k, v in c.parameters.items())
        told = filter(None, (parameters, _work_text(*task.work.get(c.name, (0.0, 0.0)))))
        lines.append(": ".join(filter(None, (f"- `{c.name}`", "; ".join(told)))))
    breadth = ""
    if task.least_breadth is not None:
        asked = f"{task.least_breadth:g} × `{task.reference_baseline}`"
        breadth = (
            " A version is also timed on other sizes and kinds of inputs before it is committed: it"
            f" is refused where it does not reach {asked} on each."
        )
    return fill(
        "repository" if task.tree else "task",
        {
            "breadth": breadth,
            "title": task.title,
            "description": task.description.strip(),
            "language": task.language,
            "files": _files_text(task),
            "configurations": "\n".join(lines),
            "machine": _machine(machine),
            "unit": task.unit,
            "baselines": ", ".join(f"`{b}`" for b in task.baselines),
            "reference": task.reference_baseline,
        },
    )


def _work_text(operations: float, moved: float) -> str:
    """What one run of a configuration does at least; "" where the task does not say."""
    told = [f"{operations / 1e9:.4g} Gop"] if operations > 0 else []
    if moved > 0:
        told.append(f"{moved / 1e6:.4g} MB to move")
        if operations > 0:
            told.append(f"{operations / moved:.4g} operations per byte")
    return ", ".join(told)


def _files_text(task: TaskInfo) -> str:
    names = ", ".join(f"`{f}`" for f in task.seed_files) or "as the seed has them"
    return names + "; `task.h` beside them declares the entry point" * (
        task.language in {"c", "cpp"}
    )


def _machine(machine: MachineInfo | None) -> str:
    if machine is None:
        return "Candidates are measured on a machine that was not known when this step began."
    lines = "\n".join(f"- {line}" for line in machine_lines(machine))
    return f"The machine that candidates are compiled for and measured on:\n\n{lines}"


def opening(
    bench: Workbench,
    hints: Sequence[Hint],
    limits: OpeningLimits | None = None,
    draft: Draft | None = None,
    progress: str = "",
) -> str:
    """The first message of a step. `hints` are those delivered with it.

    `draft` is the one that the working candidate is now, where the step goes on from one.
    `progress` is what the step has brought so far, where it is taken up in the middle.
    """
    limits = limits or OpeningLimits()
    head = bench.reading.head
    values = {
        "step": str(bench.reading.step),
        "head": str(head.number),
        "situation": _situation(bench, draft, bool(progress)),
        "lineage": _lineage(bench, limits),
        "head_score": _head_score(bench, limits),
        "head_source": _source(bench, limits),
        "draft": _draft(bench, draft, limits),
        "progress": progress,
        "rejected": _rejected(bench, limits),
        "memory": _memory(bench, limits),
        "gate": _gate(bench),
        "budget": budget_text(bench),
    }
    values = {name: material(text) for name, text in values.items()}
    return fill("opening", {**values, "words": words_text(bench, hints, limits)})


def _memory(bench: Workbench, limits: OpeningLimits) -> str:
    if "memory" in parts_off(bench.reading.settings):
        return "Switched off in this run."
    limit = bench.reading.memory_limit if limits.memory is None else limits.memory
    return memory_text(bench, limit)


def _gate(bench: Workbench) -> str:
    """The rule, what it asks for now, and whether the person has the last word."""
    settings = bench.reading.settings
    busy = bench.reading.busy()
    now = f"The machine is busy now: {busy}." if busy else ""
    audit = f"{waits}." if (waits := bench.reading.unaudited()) else ""
    approval = "The person approves each commit." if settings.approve_commits else ""
    return " ".join(
        filter(None, [GATES[settings.gate], bench.reading.gate_outlook(), now, audit, approval])
    )


def _situation(bench: Workbench, draft: Draft | None, begun: bool) -> str:
    head, best = bench.reading.head, bench.reading.best()
    lines = [
        f"The parent of this step is v{head.number}, aggregate {head.aggregate:.4f}."
        + ("" if best.number == head.number else f" The best on its line is v{best.number}.")
    ]
    reason = bench.reading.rewind_reason()
    if reason is not None:
        abandoned = [v for v in bench.reading.versions() if v.number > head.number]
        lines.append(
            f"The person rewound the run to v{head.number}: {reason}. Versions made after it"
            f" ({', '.join(f'v{v.number}' for v in abandoned[-8:]) or 'none'}) are a branch that"
            " was left; read them for what they teach, but do not simply repeat them."
        )
    if begun:
        lines.append(
            "The step goes on: it was begun before. Its plan, its attempts and its working"
            ' candidate stand below, under "This step so far".'
        )
    elif draft is None:
        lines.append("The working candidate is the parent's source, unchanged.")
        left = bench.reading.draft()
        if left is not None and (last := _last_attempt(bench, left.candidate)) is not None:
            lines.append(
                f"Step {left.step} left a draft, attempt {last.step}.{last.number}:"
                f' reset_candidate(attempt="{last.step}.{last.number}") takes it up.'
            )
    else:
        lines.append(
            f"The working candidate is the draft that step {draft.step} left, not the parent's"
            " source; what became of it stands below. Go on from it if it is worth it, or"
            " reset_candidate to the parent."
        )
    if off := off_text(parts_off(bench.reading.settings)):
        lines.append(off)
    return "\n".join(lines)


def _lineage(bench: Workbench, limits: OpeningLimits) -> str:
    versions = list(bench.reading.versions())
    best = bench.reading.best().number
    newest = versions[-limits.newest_versions :]
    top = sorted(versions, key=lambda v: v.aggregate, reverse=True)[: limits.best_versions]
    shown = {v.number: v for v in (versions[0], *newest, *top)}
    lines = [
        LINEAGE_HEADING,
        *(version_line(shown[n], bench.reading.head.number, best) for n in sorted(shown)),
    ]
    if len(shown) < len(versions):
        lines.append(f"({len(versions) - len(shown)} more: list_versions)")
    return "\n".join(lines)


def _head_score(bench: Workbench, limits: OpeningLimits) -> str:
    head = bench.reading.head
    parts = [score_table(head.score, bench.reading.paired(head.candidate))]
    if resources := resource_lines(head.resources):
        parts.append(resources)
    machine = bench.reading.machine
    if machine is not None and (reached := shares(head.score, machine)):
        what = next(iter(machine.peak_flops))
        each = ", ".join(f"{name} {share:.1%}" for name, share in reached.items())
        parts.append(f"Share of the machine's peak ({what}): {each}")
    if head.summary:
        parts.append(f"What changed: {head.summary}")
    pointer = f"read_version(version={head.number}) has all of it"
    parts = [cut_middle(part, limits.profile, pointer) for part in parts]
    parts += [
        cut_middle(text, limits.profile, "profile makes it anew") for text in _profiles(bench)
    ]
    if head.note:
        parts.append(f"Note of the person: {head.note}")
    return "\n".join(parts)


def _profiles(bench: Workbench) -> list[str]:
    """What a profiler said of the head and of the best version, newest report of each."""
    parts: list[str] = []
    timeless = "timing" in parts_off(bench.reading.settings)
    for name, version in {"head": bench.reading.head, "best": bench.reading.best()}.items():
        profiles = [
            profile
            for profile in bench.reading.profiles(version.candidate)
            if not (timeless and tells_times(profile.summary))
        ]
        if profiles and not any(profiles[-1].summary in part for part in parts):
            parts.append(f"Profile of the {name}, v{version.number}:\n{profiles[-1].summary}")
    return parts


def _draft(bench: Workbench, draft: Draft | None, limits: OpeningLimits) -> str:
    """The draft that the step goes on from: what became of it, and how it differs."""
    if draft is None:
        return ""
    parts = [f"## The draft of step {draft.step}, which you go on from", ""]
    last = _last_attempt(bench, draft.candidate)
    if last is None:
        parts.append("It was never evaluated.")
    else:
        parts.append(attempt_line(last))
        report = bench.reading.report(last.step, last.number)
        if report is not None and not report.correct:
            parts.append(cut_middle(report_text(report), limits.report))
    head = bench.reading.candidate(bench.reading.head.candidate)
    diff = unified(head, load_candidate(bench, draft.candidate)).text
    parts.append(f"Its diff to the parent:\n{fenced('', cut_middle(diff, limits.diff))}")
    return "\n".join(parts)


def _last_attempt(bench: Workbench, candidate: str) -> Attempt | None:
    attempts = [a for a in bench.reading.attempts() if a.candidate == candidate]
    return attempts[-1] if attempts else None


def _source(bench: Workbench, limits: OpeningLimits) -> str:
    candidate = bench.reading.candidate(bench.reading.head.candidate)
    if bench.reading.task.tree:
        return _repository(bench, candidate, limits)
    text = "\n".join(fenced(name, body) for name, body in candidate.files.items())
    if limits.whole_source_only and len(text) > limits.source:
        return "\n".join(
            f"`{name}`: {len(body.splitlines())} lines, {len(body)} characters, not shown here."
            for name, body in candidate.files.items()
        ) + (
            "\nread_candidate(raw=true) gives a file as it is, read_candidate(first_line=…,"
            " last_line=…) a part of it with line numbers."
        )
    return cut_middle(text, limits.source, "read_candidate shows all of it")


def _repository(bench: Workbench, candidate: Candidate, limits: OpeningLimits) -> str:
    """What the head changes in a repository; its files are read with tools."""
    base = bench.reading.candidate(bench.reading.versions()[0].candidate)
    change = unified(base, candidate).text
    shown = cut_middle(change, min(limits.diff, 8_000), "diff_versions has all of it")
    told = f"What it changes in the base:\n````\n{shown}\n````\n" if change else "It is the base.\n"
    return f"{told}list_files, search_files and read_file show the repository."


def _rejected(bench: Workbench, limits: OpeningLimits) -> str:
    attempts = [
        a
        for a in bench.reading.attempts()
        if a.version is None
        and a.verdict is not None
        and a.verdict.judges_candidate
        and a.step != bench.reading.step
    ]
    if not attempts:
        return "Nothing yet."
    # A title that failed five times in a row is one line, not five.
    lines: list[str] = []
    by_line: dict[str, Attempt] = {}
    for attempt in reversed(attempts):
        line = _cut(attempt_line(attempt), limits.line)
        by_line[line] = attempt
        _, _, what = line.partition(") ")
        if not any(known.endswith(what) for known in lines):
            lines.append(line)
        if len(lines) == limits.rejected:
            break
    lines.reverse()
    newest = attempts[-limits.detailed :] if limits.detailed else []
    lines = [
        line + _why(bench, by_line[line]) if by_line[line] in newest else line for line in lines
    ]
    rest = len(attempts) - len(lines)
    if rest > 0:
        lines.append(f"({rest} more or alike: list_attempts)")
    return "\n".join(lines)


def _cut(line: str, limit: int) -> str:
    return line if len(line) <= limit else f"{line[: limit - 1].rstrip()}…"


def _why(bench: Workbench, attempt: Attempt) -> str:
    """Where an attempt failed and what usually helps, below its line; empty where not known."""
    report = bench.reading.report(attempt.step, attempt.number)
    if report is None or report.correct:
        return ""
    details = [report.feedback.detail, report.feedback.hint, first_lines(report.feedback.log, 4)]
    told = [" ".join(text.split())[:400] for text in details if text.strip()]
    return "".join(f"\n    {text}" for text in told)


def budget_text(bench: Workbench) -> str:
    budget, run, step = bench.reading.remaining()
    lines = [
        f"- {scope}: {cap.used:.4g} of {cap.cap:.4g} {cap.unit} used"
        for scope, caps, spend in (("run", budget.run, run), ("this step", budget.step, step))
        for cap in cap_states(caps, spend)
    ]
    return "\n".join(["Budget:", *lines]) if lines else "No cap is set on the budget."


def words_text(bench: Workbench, hints: Sequence[Hint], limits: OpeningLimits) -> str:
    """The hints that hold, with those delivered now, and the interventions in force."""
    seen = {h.id for h in hints}
    standing = [h for h in bench.reading.hints_in_force() if h.id not in seen]
    parts = [hint_text(h, limits.hint) for h in (*standing, *hints)]
    parts.extend(intervention_text(i) for i in bench.reading.interventions())
    return "\n\n".join(parts)


def hint_text(hint: Hint, limit: int = MAX_TEXT) -> str:
    scope = {
        "once": "for now",
        "step": "for this step",
        "until_cleared": "until the person clears it",
    }[hint.scope]
    text = material(cut_middle(hint.text, limit))
    return f'<operator_message holds="{scope}">\n{text}\n</operator_message>'


def intervention_text(intervention: Intervention) -> str:
    lines = [f"Why: {intervention.trigger}."]
    if intervention.diagnosis:
        lines.append(f"Diagnosis: {intervention.diagnosis}")
    if intervention.review:
        lines.append(f"Review of the trajectory: {intervention.review}")
    if intervention.avoid:
        lines.append("Stop doing this; the evidence is against it:")
        lines.extend(f"- {direction}" for direction in intervention.avoid)
    if intervention.directions:
        lines.append("Directions:")
        for number, direction in enumerate(intervention.directions, start=1):
            start = f" (start from v{direction.parent})" if direction.parent is not None else ""
            lines.append(f"{number}. {direction.text}{start}")
    body = material("\n".join(lines))
    mark = f'<supervisor level="{intervention.level}" by="{intervention.by}">'
    return f"{mark}\n{body}\n</supervisor>"


def intervention_key(intervention: Intervention) -> str:
    """Changes when the person edits the directions, so that the agent is told again."""
    directions = "|".join(f"{d.parent}:{d.text}" for d in intervention.directions)
    directions += "|".join(intervention.avoid)
    return f"supervision:{intervention.id}:{hash_text(directions)}"


def hash_text(text: str) -> str:
    """A short digest, the same in every process."""
    return hashlib.sha256(text.encode()).hexdigest()[:12]
