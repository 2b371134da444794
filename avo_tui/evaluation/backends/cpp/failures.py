"""Derives a verdict and a helpful message from the way a candidate's process ended."""

from __future__ import annotations

import signal

from avo_tui.domain.verdict import Feedback, Verdict
from avo_tui.evaluation.backends.base import Rejected
from avo_tui.evaluation.backends.cpp.process import LIMITS, Stopped, limits_of
from avo_tui.evaluation.ports import EvaluatorError
from avo_tui.evaluation.sandbox.policy import MIB, Outcome
from avo_tui.evaluation.task import Task

_BUSY = 2.0
"""If a time-out took this many times the limit, the message says that the machine was busy."""
_PRIVATE = 1000
"""Characters of one line in the person's own log."""
_ADDRESS_FAULTS = {signal.SIGSEGV, signal.SIGBUS}
_MEANINGS = {
    signal.SIGFPE: "an integer division by zero",
    signal.SIGILL: "an instruction this processor does not have, or a builtin trap",
    signal.SIGABRT: "abort(), often after a failed check of the memory allocator or bad_alloc",
}

_ALIGNED = (
    "aligned vector loads and stores (_mm256_store_ps, movaps, a vector type without aligned(4), "
    "streaming stores) need an address that is a multiple of the vector's bytes; use the unaligned "
    "form (_mm256_storeu_ps, __attribute__((aligned(4)))), or align the memory and the row length"
)
_GENERAL = {
    "misaligned": (
        "the candidate moved a vector from or to memory at an address that is not a multiple of "
        "its size, with an instruction that needs that",
        _ALIGNED,
    ),
    "general": (
        "the candidate used an address that cannot exist, or one that is not aligned for its "
        "instruction (the processor does not tell which)",
        f"check pointers that were not set; {_ALIGNED}",
    ),
}
"""Faults for which the processor tells no address → (sentence, hint)."""


def signal_name(number: int) -> str:
    """Such as SIGSEGV."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _log(outcome: Outcome | None) -> str:
    if outcome is None:
        return ""
    return (outcome.stdout + outcome.stderr).strip()


def _bad_alloc(log: str) -> bool:
    return "bad_alloc" in log or "Cannot allocate memory" in log or "out of memory" in log.lower()


def _ended(task: Task, outcome: Outcome | None) -> tuple[Verdict, str]:
    """The verdict on a process that ended without a last message."""
    reason = outcome.reason if outcome is not None else "error"
    if outcome is not None and reason == "error":
        raise EvaluatorError(f"the sandbox failed: {outcome.error}")
    if reason == "memory":
        limit = limits_of(task).memory_bytes // MIB
        return Verdict.OUT_OF_MEMORY, f"the candidate used more than {limit} MiB of memory"
    if reason == "time":
        return Verdict.TIMEOUT, "the candidate took too long"
    if reason == "output":
        limit = LIMITS.output_bytes // 1024
        return Verdict.CRASH, f"the candidate printed more than {limit} KiB and was ended"
    if reason == "processes":
        return Verdict.SUSPICIOUS, "the candidate started processes"
    if reason == "scratch":
        return Verdict.SUSPICIOUS, "the candidate filled its scratch folder"
    if outcome is not None and outcome.signal is not None:
        name = signal_name(outcome.signal)
        if outcome.signal == signal.SIGSYS:  # trapped during thread creation
            return (
                Verdict.SUSPICIOUS,
                "the candidate started a thread or made a refused system call",
            )
        if _bad_alloc(_log(outcome)):
            return Verdict.OUT_OF_MEMORY, "the candidate ran out of memory (bad_alloc)"
        return Verdict.CRASH, f"the candidate's process was ended by {name}"
    code = outcome.exit_code if outcome is not None else None
    return Verdict.CRASH, f"the candidate ended its own process with exit code {code}"


def _fault(words: list[str], log: str) -> tuple[Verdict, str, str]:
    """Verdict, sentence and hint of a signal that the runner's handler saw."""
    try:
        number, address, access = int(words[0]), int(words[1], 16), words[2]
        name, offset, size = (words[3], int(words[4]), int(words[5])) if words[3:] else ("", 0, 0)
        meaning = _MEANINGS.get(signal.Signals(number), "")
    except (ValueError, IndexError):
        return Verdict.SUSPICIOUS, "the candidate forged the report of a fault", ""
    if number not in _ADDRESS_FAULTS:
        if _bad_alloc(log):
            return Verdict.OUT_OF_MEMORY, "the candidate ran out of memory (bad_alloc)", ""
        return Verdict.CRASH, f"the candidate crashed with {signal_name(number)}: {meaning}", ""
    verb = {"write": "wrote", "read": "read"}.get(access, "touched")
    if name:
        if 0 <= offset < size:
            text = f"the candidate {verb} to the input {name}, which is read-only, at byte {offset}"
            return Verdict.ILLEGAL_ACCESS, text, "inputs may be read only; copy what must change"
        where = (
            f"{offset - size} bytes behind its end" if offset >= size else f"{-offset} before it"
        )
        text = f"the candidate {verb} outside {name} ({size} bytes): {where}"
        return Verdict.ILLEGAL_ACCESS, text, "check the last tile and sequence lengths that are odd"
    if access in _GENERAL:
        return Verdict.ILLEGAL_ACCESS, *_GENERAL[access]
    null = 0 <= address < 4096
    text = f"the candidate {verb} at address {address:#x}, which is " + (
        "a null pointer" if null else "not mapped (a wild pointer, or the stack is too deep)"
    )
    hint = "a null pointer may be an allocation that failed" if null else ""
    return Verdict.ILLEGAL_ACCESS, text, hint


def rejected(
    task: Task,
    stop: Stopped,
    *,
    where: str,
    configuration: str | None,
    silent: bool = False,
    about: str = "",
) -> Rejected:
    """The verdict on a process that stopped.

    `where`: what it was doing, safe to tell. `silent`: the process has seen hidden inputs, so
    nothing that it could choose is told: no output, address, number or exit code. `about`: what
    the hidden inputs are about.
    """
    verdict, text, hint = _ruling(task, stop)
    log = _log(stop.outcome)
    if silent:
        text, log, hint = _KINDS.get(verdict, _ENDED), "", ""
    detail = f"{where}: {about}" if about else where
    feedback = Feedback(
        summary=text, configuration=configuration, detail=detail, hint=hint, log=log
    )
    ruling = Rejected(verdict, feedback)
    ruling.private = _for_the_person(stop, f"{verdict} {where}")
    return ruling


def _for_the_person(stop: Stopped, what: str) -> str:
    """How the process ended, with all details, for the person. Some of the text may be chosen by
    the candidate."""
    facts = [what, stop.kind, *stop.words]
    if (end := stop.outcome) is not None:
        facts.append(f"({end.reason}, exit {end.exit_code}, signal {end.signal}, {end.error})")
    return ascii(" ".join(facts))[1:-1][:_PRIVATE]


_ENDED = "the candidate's process ended"
_KINDS = {
    Verdict.SUSPICIOUS: "the candidate made a forbidden system call, started a thread, read a "
    "clock or interfered with the harness",
    Verdict.CRASH: "the candidate crashed",
    Verdict.ILLEGAL_ACCESS: "the candidate read or wrote outside its arguments, or at an address "
    "that is not aligned for its instruction",
    Verdict.OUT_OF_MEMORY: "the candidate used too much memory",
    Verdict.TIMEOUT: "the candidate did not return in time",
}


def _ruling(task: Task, stop: Stopped) -> tuple[Verdict, str, str]:
    """Verdict, sentence and hint."""
    outcome, log = stop.outcome, _log(stop.outcome)
    killed = outcome is not None and outcome.reason in ("memory", "output", "processes", "scratch")
    if stop.kind == "hung" and not killed:
        limit, passed = (float(word) for word in stop.words)
        text = f"the candidate did not return within {limit:.1f} s"
        hint = "an endless loop, or far too slow for this size"
        if passed > _BUSY * limit:
            hint += f"; {passed:.1f} s passed, in most of which others had the processor"
        return Verdict.TIMEOUT, text, hint
    if stop.kind == "fault" and not killed:
        return _fault(stop.words, log)
    if stop.kind == "trap":
        text = f"the candidate made the system call {stop.words[0]}, which a kernel has no use for"
        if stop.words[0] in ("clone", "clone3") and task.threads == 1:
            text = "the candidate started a thread; this task is measured on one"
        return Verdict.SUSPICIOUS, text, ""
    if stop.kind == "clock":
        text = "the candidate read a clock (rdtsc or the like), which a kernel has no use for"
        return Verdict.SUSPICIOUS, text, ""
    if stop.kind == "unloadable":
        text = f"the compiled candidate cannot be loaded: {' '.join(stop.words)}"
        return Verdict.COMPILE_ERROR, text, ""
    if stop.kind == "loading":
        text = f"the candidate computed for {stop.words[0]} s while it was loaded, twice"
        return Verdict.SUSPICIOUS, text, "a kernel's work belongs into its call"
    if stop.kind == "nonsense":
        text = f"the candidate interfered with the harness: {' '.join(stop.words)}"
        return Verdict.SUSPICIOUS, text, ""
    if "Thread creation failed" in log:  # last message of libgomp
        return Verdict.SUSPICIOUS, f"the candidate may use {task.threads} threads only", ""
    return *_ended(task, outcome), ""
