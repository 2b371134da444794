"""The brief: one Markdown page that tells an agent how to work in the seat of a session."""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib.resources import files

from avo_tui.domain.budget import cap_states
from avo_tui.domain.outlook import outlook
from avo_tui.domain.records import RunState, SessionRecord
from avo_tui.domain.state import SessionState
from avo_tui.operators.agent.prompts.opening import task_text
from avo_tui.operators.toolbox.switched_off import fitting, off_text, parts_off

_FIELD = re.compile(r"\{\{(\w+)\}\}")

GATES = {
    "strict": "the gain must be shown at the run's error budget and be 0.5% at least.",
    "paper": "the candidate must be no slower than the best.",
    "vector": "no configuration may fall beyond its noise, and one must improve beyond it.",
}

_TOLD = """\
# The task: {title}

`begin_step` tells it whole: what is computed, what is scored, the machine and its compiler.
"""

_OF_A_REPOSITORY = """\
- Build, tests and benchmark run in a sandbox without network, each in a fresh copy of the built
  tree. Files that are not editable are read-only there, and compared afterwards.
- Tests that fail are run again; what fails twice is tried on the base, too, before it counts.
- The benchmark's command runs for the candidate and for the base in turn, each time in a fresh
  process on the same cores; medians of these rounds count. A pair of the gate is some such rounds
  beside the best version.
- The time of the whole command is taken beside what the benchmark says: where the time that was
  saved turns up again outside of what the benchmark measures, the candidate is suspicious."""


_STATES: Mapping[RunState, str] = {
    "stopped": "only its record is there, and `remember`. End your work: whether it goes on is the"
    " person's decision",
    "pausing": "the person has asked for it; calls of tools are then held until it is resumed",
    "paused": "calls of tools are held until the person resumes it",
    "lost": "its engine is not there; the first call of a tool starts it",
}
"""What a state of the run means for an agent that comes now."""


def brief(state: SessionState, standing: tuple[RunState, str] | None = None) -> str:
    """The page for a session; `standing`: the run's state as it is now, with the reason."""
    session = state.session
    has_seat = session.settings.operator in {"seat", "acp"}
    name = session.name
    file = next(iter(session.task.seed_files), "kernel.cpp")
    places = {"name": name, "file": file, "operator": session.settings.operator}
    parts = parts_off(session.settings)
    entrance = _fill("entrance" if has_seat else "drop_box", places, parts).strip()
    if off := off_text(parts):
        entrance = f"{entrance}\n\n{off}"
    machine = session.engine.machine if session.engine is not None else None
    values = {
        "session": name,
        "entrance": entrance,
        "gate": GATES[session.settings.gate],
        "measurement": fitting(_measurement(session), parts),
        "task": _TOLD.format(title=session.task.title)
        if has_seat
        else task_text(session.task, machine),
        "standing": _standing(state, *(standing or (session.state, session.state_reason))),
    }
    return _fill("brief", values, parts)


def _fill(name: str, values: Mapping[str, str], parts: frozenset[str]) -> str:
    """The page `name`.md with its {{fields}} filled in, for a run without these parts."""
    page = files(__name__.rpartition(".")[0]) / f"{name}.md"
    text = fitting(page.read_text(encoding="utf-8"), parts)
    return _FIELD.sub(lambda match: values[match.group(1)], text)


def _measurement(session: SessionRecord) -> str:
    if session.task.tree:
        return _OF_A_REPOSITORY
    lines = [
        "- After a wrong result the check runs the other public cases, for 5 s at most, so its list"
        " says which kinds of inputs and which configurations fail; a crash, a time-out or a write"
        " outside the buffers ends it. Two calls on the same inputs must agree in every"
        " bit. Where a result must not depend on some of the inputs (causal attention: on later"
        " keys and values), these are changed, and the result must keep every bit. A public failure"
        " is told in full, of a hidden one only the kind.",
        "- Every timed call gets inputs that no call saw before, written by another process, and"
        " outputs that it has filled.[[timing:  A loop over the same buffers shows something else,"
        " and so does one that flushes the caches: `bench` and `quick_bench` make the calls of the"
        " gate.]]",
        "- Candidate and baselines are timed in turn in one process, medians count; each side of"
        " the gate has a process of its own.",
    ]
    if session.task.language == "cpp":
        lines += [
            "- The clock is the processor time of the call as the system accounts it, threads and"
            " sleep included; starting and waking are taken off.",
            "- The compile line is `g++` with the options named with the task, the sources, and"
            " what a line `// flags: …` in the source asks for: optimisation (`-O2`, `-Ofast`),"
            " `-f…` of the optimiser and of floating point, `-m…` of vector extensions, `-mtune`,"
            " `--param`, `-D NAME=value`, at most 24. `task.h` declares the entry point.",
            "- Intrinsics and inline assembly are allowed; instructions that read a clock or flush"
            " caches are not, and the check says so.",
        ]
    return "\n".join(lines)


def _tried(state: SessionState) -> list[str]:
    """The attempts of the open step: what has no answer yet, and what was answered."""
    here = [a for (step, _), a in state.attempts.items() if step == state.session.step]
    waits = [f"{a.step}.{a.number} since {a.at:%H:%M} UTC" for a in here if a.verdict is None]
    answered = [f"{a.step}.{a.number} {a.verdict}" for a in here if a.verdict is not None]
    lines = [f"- attempts without an answer yet: {', '.join(waits)}"] if waits else []
    if answered and state.open_step is not None:
        lines.append(
            f"- attempts of this step that were answered: {', '.join(answered[-8:])}"
            " (`read_attempt` tells each)"
        )
    return lines


def _standing(state: SessionState, run: RunState, reason: str) -> str:
    session, head, best = state.session, state.head, state.best
    means = _STATES.get("stopped" if run == "finished" else run, "")
    why = f" ({reason})" if reason else ""
    lines = [f"- the run is {run}{why}{': ' if means else ''}{means}"]
    if head is not None and best is not None:
        lines.append(
            f"- head v{head.number} {head.aggregate:.4f} of {session.task.reference_baseline},"
            f" best v{best.number} {best.aggregate:.4f}, {len(state.versions)} versions,"
            f" {len(state.attempts)} attempts, step {session.step}"
        )
    else:
        lines.append("- the seed is not evaluated yet")
    machine = session.engine.machine if session.engine is not None else None
    asked = outlook(state, machine.conditions if machine is not None else "")
    if asked is not None:
        lines.append(f"- {asked.text}")
    caps = cap_states(session.budget.run, session.spend)
    lines += [f"- {cap.unit}: {cap.used:.4g} of {cap.cap:.4g} used" for cap in caps]
    if not caps:
        lines.append("- no cap is set on the budget")
    lines += _tried(state)
    waiting = sum(hint.state == "queued" for hint in state.hints.values())
    if waiting:
        lines.append(f"- {waiting} hints of the person wait for your next answer")
    return "\n".join(lines)
