"""Commands that measure candidates made by hand: evaluate, bench, submit."""

from __future__ import annotations

import asyncio
import math
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import ValidationError
from typer import Argument, BadParameter, Exit, Option, Typer, echo

from avo_tui.cli.control import JOB_SECONDS, answer, answer_form, deliver, effective
from avo_tui.cli.errors import INTERRUPTED, Failure
from avo_tui.cli.opening import find_task, require_torch
from avo_tui.cli.parameters import Json, Name, TaskName, opened, pick
from avo_tui.cli.queries import decision_on, report_forms
from avo_tui.cli.session_trust import require_agreement
from avo_tui.cli.terminal import emit, say, tell
from avo_tui.devices import processor_sensor
from avo_tui.domain.attempts import attempt_name, attempt_status
from avo_tui.domain.candidate import Candidate
from avo_tui.domain.commands import CommandRecord, Submit
from avo_tui.domain.device import busy_text
from avo_tui.domain.evidence import MOST_REPLICATES, Estimate
from avo_tui.domain.gate_rules import may_settle
from avo_tui.domain.outlook import spread
from avo_tui.domain.plain import plain, safe
from avo_tui.domain.questions import (
    MOST_SECONDS,
    QUICK_SECONDS,
    Answer,
    BreadthQuestion,
    CheckQuestion,
    EvaluateQuestion,
    Question,
    QuickQuestion,
    ReportQuestion,
    SeedQuestion,
)
from avo_tui.domain.records import Attempt
from avo_tui.domain.report import EvaluationProgress, EvaluationReport
from avo_tui.domain.task import TaskInfo
from avo_tui.evaluation import report as reports
from avo_tui.evaluation.backends.cuda.toolkit import architecture_number
from avo_tui.evaluation.candidates import files_below, read_file
from avo_tui.evaluation.candidates import read_candidate as read_any
from avo_tui.evaluation.evaluators import LocalEvaluator, make_evaluator
from avo_tui.evaluation.locks import measuring_text
from avo_tui.evaluation.ports import ProgressSink
from avo_tui.operators.toolbox import quick_tools, variants
from avo_tui.operators.toolbox.variants import Ask, Timed, Variant
from avo_tui.patches import ChangeError
from avo_tui.settings import settings
from avo_tui.store import SessionReader
from avo_tui.store.session_secret import secret_of
from avo_tui.worktree import read_change

LOOK_SECONDS = 0.3
"""Seconds over which the load of the processor is looked at."""
NOT_COMMITTED = 3
"""Exit status of a submission that is correct but was not accepted by the gate."""

UnlessBusy = Annotated[
    bool,
    Option(
        "--unless-busy",
        help="Measure nothing where this machine is busy or somebody else measures on it.",
    ),
]

app = Typer()


def say_busy(unless_busy: bool) -> None:
    """Say on standard error why the machine is not quiet.

    Raises Failure in that case where the caller wants to measure on a quiet machine only.
    """
    sensor = processor_sensor()
    time.sleep(LOOK_SECONDS)
    busy = "; ".join(filter(None, [busy_text([sensor.sample()]), measuring_text()]))
    if busy and unless_busy:
        raise Failure(f"nothing was measured, since the machine is busy now: {busy}")
    if busy:
        tell(f"avo: the machine is busy now: {busy}")


@app.command(epilog="Example: avo evaluate attention_cpu kernel.cpp --json")
def evaluate(
    task: TaskName,
    path: Annotated[
        Path | None, Argument(help="A file or a folder; of a repository a patch, too.")
    ] = None,
    quick: Annotated[
        bool, Option("--quick", help="Compile, and check the small configurations only.")
    ] = False,
    breadth: Annotated[
        bool,
        Option("--breadth", help="Also time it on inputs that are not scored: kinds, sizes."),
    ] = False,
    arch: Annotated[str | None, Option(help="Compile CUDA for this, such as sm_100a.")] = None,
    weak: Annotated[
        bool, Option("--allow-weak-sandbox", help="Run it also where it cannot be confined.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Score one candidate without a session: compile, check, benchmark."""
    if quick and breadth:
        raise Failure("--quick times nothing: leave it or --breadth out")
    info = find_task(task)
    require_torch(info.language)
    candidate = read_any(path, info) if path is not None else None
    if arch is not None:
        try:
            architecture_number(arch)
        except ValueError as error:
            raise BadParameter(str(error), param_hint="--arch") from error
    allowed = weak or settings().allow_weak_sandbox
    evaluator = LocalEvaluator(architecture=arch, allow_weak_sandbox=allowed)
    lines = reports.ProgressLines()

    def hear(progress: EvaluationProgress) -> None:
        if line := lines.line(progress):
            sys.stderr.write(f"{plain(line)}\n")

    async def report() -> EvaluationReport:
        sink: ProgressSink | None = None if as_json else hear
        async with evaluator:
            given = candidate or await evaluator.ask(info.name, SeedQuestion())
            question: ReportQuestion = EvaluateQuestion(files=given.files)
            if quick:
                question = CheckQuestion(files=given.files, quick=True)
            done = await evaluator.ask(info.name, question, sink)
            if breadth and done.correct:
                wider = BreadthQuestion(files=given.files)
                done = done.with_breadth(await evaluator.ask(info.name, wider, sink))
            return done

    done = asyncio.run(report())
    echo(reports.as_json(done) if as_json else safe(reports.as_text(done)))
    if not done.correct:
        raise Exit(1)


# -- bench


@app.command(epilog="Example: avo bench demo a.cpp b.cpp --against head -D TILE=32,64")
def bench(
    name: Name,
    paths: Annotated[list[Path], Argument(help="Candidates: one file or folder each.")],
    against: Annotated[str, Option(help="A version: 12, v12, head or best.")] = "head",
    defines: Annotated[
        list[str] | None, Option("-D", help="NAME=value,value,…: every combination is timed.")
    ] = None,
    flags: Annotated[
        list[str] | None,
        Option(
            metavar="FLAGS",
            help="A set of compiler flags in place of the source's `// flags:` lines, such as"
            " '-O2 -fno-unroll-loops'; '' is none. May be repeated: every set is timed.",
        ),
    ] = None,
    pairs: Annotated[
        int | None,
        Option(
            min=1,
            max=32,
            help="Pairs of fresh processes for each: 1 without; with --precision at most so many.",
        ),
    ] = None,
    precision: Annotated[
        float | None,
        Option(
            min=0.0005,
            max=0.2,
            help="Add pairs until the 95% interval is no wider than this on either side; 0.003 is"
            " 0.3%. One that is shown to be slower than another gets no more.",
        ),
    ] = None,
    quick: Annotated[
        bool,
        Option(
            "--quick",
            help="Sooner: many calls in turn in one process, with warm and with cold caches."
            " For small differences; not what the gate measures.",
        ),
    ] = False,
    seconds: Annotated[
        float | None,
        Option(
            min=0.5,
            max=60,
            help="With --quick: seconds of calls for each (6); compiling and starting come on top.",
        ),
    ] = None,
    configuration: Annotated[
        str | None, Option(help="With --quick: one scored configuration only.")
    ] = None,
    unless_busy: UnlessBusy = False,
    as_json: Json = False,
) -> None:
    """Time candidates beside a version: in turn, in fresh processes, on new inputs.

    No attempt, no commit, nothing is recorded. Exit status 1 where one could not be timed.
    """
    if quick and (pairs is not None or precision is not None):
        raise Failure("--quick measures no pairs: leave --pairs and --precision out")
    if not quick and (seconds is not None or configuration is not None):
        raise Failure("--seconds and --configuration belong to --quick; add it")
    reader = opened(name)
    state = reader.state
    number = pick(state, against)
    other = reader.candidate(state.versions[number].candidate)
    chosen = _variants(paths, defines or [], flags or [], other, state.session.task)
    say_busy(unless_busy)
    most = pairs or (1 if precision is None else variants.MOST_PAIRS)
    work: _Pairs | _Quick = (
        _Quick(chosen, other, configuration, seconds or QUICK_SECONDS, [])
        if quick
        else _Pairs(reader, [Timed(variant) for variant in chosen], other, most, precision)
    )
    interrupted = False
    try:
        asyncio.run(_measured(reader, work))
    except KeyboardInterrupt:  # what was measured until then is printed all the same
        interrupted = True
        tell("avo: interrupted; what was measured until then:")
    if as_json:
        emit({"session": reader.name, "against": number, **work.form()})
    else:
        say(safe(work.text(f"v{number}")))
    if interrupted:
        raise Exit(INTERRUPTED)
    if work.failed():
        raise Exit(1)


async def _measured(reader: SessionReader, work: _Pairs | _Quick) -> None:
    require_agreement(reader.folder)
    session = reader.state.session
    task = session.task.name
    async with make_evaluator(session.settings, task) as evaluator:
        evaluator.drawn_by = secret_of(session)

        async def ask(question: Question[Answer], /) -> Answer:
            quick = isinstance(question, CheckQuestion)
            return await evaluator.ask(task, question, None if quick else _say_waiting())

        await work.measure(ask)


def _say_begin(doing: str, result: str) -> None:
    """Say on standard error what begins, and what the variant before gave."""
    tell(*(f"avo: {plain(text, 300)}" for text in (result, doing) if text))


def _say_waiting() -> Callable[[EvaluationProgress], None]:
    """A sink that says once for each variant that the device is in use, and by whom."""
    told = False

    def hear(progress: EvaluationProgress) -> None:
        nonlocal told
        if progress.stage == "waiting" and progress.state == "started" and not told:
            told = True
            tell(f"avo: waiting: {progress.detail}")

    return hear


@dataclass
class _Pairs:
    """Pairs of fresh processes for each variant that is correct, as at the gate."""

    reader: SessionReader
    timed: list[Timed]
    other: Candidate
    most: int
    precision: float | None

    async def measure(self, ask: Ask) -> None:
        await variants.check_variants(self.timed, ask, _say_begin)
        prior = spread(self.reader.state).prior
        await variants.time_variants(
            self.timed, ask, self.other, prior, self.most, self.precision, _say_begin
        )

    def text(self, version: str) -> str:
        return variants.table_text(self.timed, version, spread(self.reader.state))

    def form(self) -> dict[str, object]:
        prior = spread(self.reader.state).prior
        rows = [
            {
                "name": row.variant.name,
                "gain": row.gain or None,
                "interval": _speed(row.estimate(prior))["interval"] if row.pairs else None,
                "trouble": row.trouble or None,
                "log": row.log or None,
                "pairs": [pair.model_dump(mode="json") for pair in row.pairs],
            }
            for row in self.timed
        ]
        return {"candidates": rows}

    def failed(self) -> bool:
        return any(row.trouble for row in self.timed)


@dataclass
class _Quick:
    """Calls of each variant and the version in turn, unjudged."""

    variants: list[Variant]
    other: Candidate
    configuration: str | None
    seconds: float
    rows: list[quick_tools.QuickRow]

    async def measure(self, ask: Ask) -> None:
        question = QuickQuestion(
            files={}, other=self.other.files, configuration=self.configuration,
            seconds=self.seconds,
        )  # fmt: skip
        await quick_tools.quick_rows(
            self.rows, self.variants, ask, question, MOST_SECONDS, _say_begin
        )
        if rest := quick_tools.left_out(self.variants, self.rows).strip():
            tell(f"avo: {rest}")

    def text(self, version: str) -> str:
        return quick_tools.quick_text(self.rows, version)

    def form(self) -> dict[str, object]:
        rows = []
        for row in self.rows:
            shown = row.result
            form: dict[str, object] = {"name": row.variant.name}
            form |= {"gain": None} if shown.trouble else _speed(shown.estimate())
            form |= shown.model_dump(mode="json", exclude={"configurations"})
            form["configurations"] = {c: _speed(shown.estimate(c)) for c in shown.configurations}
            rows.append(form)
        return {
            "quick": "calls in turn as at the gate, but not judged: it shows no gain",
            "candidates": rows,
        }

    def failed(self) -> bool:
        return any(row.result.trouble for row in self.rows)


def _speed(estimate: Estimate) -> dict[str, float | list[float]]:
    """Speed over the version with its 95% interval, as in `candidates` of pairs."""
    low, high = estimate.interval()
    return {"gain": math.exp(estimate.mean), "interval": [1 + low, 1 + high]}


def _variants(
    paths: list[Path], defines: list[str], flags: list[str], origin: Candidate, task: TaskInfo
) -> list[Variant]:
    """The files with every combination of definitions of macros, and of sets of flags."""
    values: dict[str, list[str]] = {}
    for text in defines:
        macro, equals, choices = text.partition("=")
        if equals and not all(choice.strip() for choice in choices.split(",")):
            raise BadParameter(
                f"{text!r} names no value, or none beside a comma; write {macro or 'NAME'}=32,64",
                param_hint="-D",
            )
        values[macro] = choices.split(",") if choices else ["1"]
    variations: list[Variant] = []
    for path in paths:
        candidate = read_any(path, task, origin)
        if not task.tree and path.is_file() and len(origin.files) == 1:
            # whatever the file is called, it stands for the one file of the version
            files = dict(zip(origin.files, candidate.files.values(), strict=True))
            candidate = candidate.replaced(files=files)
        variations += variants.variants_of(str(path), candidate, values, flags)
    if len(variations) > variants.MOST:
        raise Failure(f"{len(variations)} variants are more than {variants.MOST}; take fewer")
    return variants.unique(variations)


# -- submit


@app.command(epilog='Example: avo submit demo kernel.cpp --plan "unroll by hand"')
def submit(
    name: Name,
    paths: Annotated[
        list[Path],
        Argument(
            help="Files, or one folder: the whole candidate. Of a repository a patch, or a folder."
        ),
    ],
    plan: Annotated[str, Option(help="What was changed and why.")] = "",
    summary: Annotated[str, Option(help="What came of it, for the record.")] = "",
    parent: Annotated[
        str | None, Option(help="Version it was made from; default the head.")
    ] = None,
    merge: Annotated[
        bool, Option("--merge", help="Take files that are not given from the parent.")
    ] = False,
    settle: Annotated[
        bool,
        Option(
            "--settle",
            help="Where the gate finds the gain unclear, submit again, which adds pairs, until it"
            " is accepted or refused.",
        ),
    ] = False,
    unless_busy: UnlessBusy = False,
    as_json: Json = False,
) -> None:
    """Evaluate a candidate made by hand, and commit it if the gate lets it through.

    The files given are the whole candidate, as with `avo evaluate`. Exit status 0: committed;
    3: correct, but not committed; 1: not correct, or it could not be found out.
    """
    reader = opened(name)
    state = reader.state
    head, task, run_settings = state.session.head, state.session.task, state.session.settings
    if head is None and not reader.engine().alive and not task.seedless:
        raise Failure(f"{name} has no versions yet; run it first: avo run --resume {name}")
    number = pick(state, parent) if parent is not None else head
    if merge and number is None:
        raise Failure(f"{name} has no version yet whose files could be taken")
    origin = None
    if number is not None:
        origin = reader.candidate(state.versions[number].candidate)
    if task.tree:
        candidate = _change(paths, task, origin)
    else:
        candidate = read_candidate(paths, origin if merge else None)
        if origin is not None:
            candidate = _named_as(candidate, origin)
    author = "person" if run_settings.operator_traits.steps_by_itself else run_settings.operator
    command = Submit(candidate=candidate, plan=plan, summary=summary, parent=number, author=author)
    if head is None and reader.engine().alive and not as_json:
        why = state.session.state_reason or "the engine starts"
        tell(f"waits until the run has its first version ({why})")
    say_busy(unless_busy)
    while True:
        identity = deliver(reader, command)
        record = answer(reader, identity, JOB_SECONDS)
        tried = reversed(list(reader.state.attempts.values()))
        attempt = next((a for a in tried if a.candidate == candidate.id), None)
        # the gate took the submission, found it unclear, and may add pairs to it
        unclear = record is not None and record.refused is None and attempt is not None
        if (
            not settle
            or not unclear
            or not may_settle(decision_on(reader, attempt), MOST_REPLICATES)
        ):
            break
        if not as_json and record is not None:
            tell(safe(record.effect))
    if as_json:
        status = attempt_status(attempt, reader.state.open_step) if attempt is not None else None
        emit({
            **answer_form(reader, command, identity, record),
            "attempt": attempt_name(attempt) if attempt is not None else None,
            "status": status,
            "verdict": attempt.verdict if attempt is not None else None,
            "version": attempt.version if attempt is not None else None,
            "reason": attempt.reason if attempt is not None else None,
            **report_forms(reader, attempt),
        })  # fmt: skip
    _conclude(reader, record, attempt, as_json)


def _conclude(
    reader: SessionReader, record: CommandRecord | None, attempt: Attempt | None, as_json: bool
) -> None:
    """Print the result, and exit with the corresponding status."""
    record = effective(record, as_json)
    report = reader.report(attempt) if attempt is not None else None
    if not as_json:
        say(safe(record.effect))
        decision = decision_on(reader, attempt)
        if decision is not None and decision.time:
            say(f"gate: {decision.time}")
        if report is not None:
            say(safe(reports.as_text(report)))
        if attempt is not None and attempt.version is not None:
            wider = reader.state.versions[attempt.version].score.on_other_inputs
            say(*([safe(", ".join(wider))] if wider else []))
    if attempt is None or attempt.version is None:
        raise Exit(NOT_COMMITTED if report is not None and report.correct else 1)


def _change(paths: list[Path], task: TaskInfo, head: Candidate | None) -> Candidate:
    """What a patch, a folder or a worktree makes of the session's repository. Raises Failure."""
    if len(paths) != 1:
        raise Failure("of a repository give one patch, one folder, or one worktree")
    try:
        return read_change(paths[0], task, head)
    except ChangeError as error:
        raise Failure(str(error).rstrip(".")) from error


def read_candidate(paths: list[Path], origin: Candidate | None = None) -> Candidate:
    """The candidate in these files or this folder; files it lacks come from `origin`.

    Raises Failure with one sentence for files that cannot be a candidate's.
    """
    files = dict(origin.files) if origin is not None else {}
    for path in paths:
        inside = files_below(path) if path.is_dir() else {path.name: path}
        if not inside:
            raise Failure(f"{path} holds no files")
        files.update({name: _read(file) for name, file in inside.items()})
    try:
        return Candidate(files=files)
    except ValidationError as error:
        reason = error.errors()[0]["msg"].removeprefix("Value error, ")
        raise Failure(f"{', '.join(map(str, paths))} cannot be a candidate: {reason}") from error


def _named_as(candidate: Candidate, origin: Candidate) -> Candidate:
    """A candidate of one file under the name of its origin's one: a change, not another file."""
    if len(candidate.files) != 1 or len(origin.files) != 1:
        return candidate
    [(name, text)], [known] = candidate.files.items(), origin.files
    if Path(name).suffix != Path(known).suffix:
        return candidate
    return Candidate(files={known: text})


def _read(path: Path) -> str:
    if path.exists() and not path.is_file():
        raise Failure(f"{path} is a pipe or a device: give a file")
    return read_file(path)
