"""`avo bench`: times files together with a version of a session, as its gate does, without a
commit."""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated

import typer

from avo_tui.cli.busy import UnlessBusy, say_busy
from avo_tui.cli.errors import INTERRUPTED, Failure
from avo_tui.cli.json_output import emit
from avo_tui.cli.parameters import Json, Name, pick
from avo_tui.cli.session_trust import require_agreement
from avo_tui.domain.candidate import Candidate
from avo_tui.domain.evidence import Estimate
from avo_tui.domain.outlook import Spread, spread
from avo_tui.domain.plain import plain, safe
from avo_tui.domain.questions import (
    CACHES,
    MOST_SECONDS,
    QUICK_SECONDS,
    QuickComparison,
    QuickQuestion,
)
from avo_tui.domain.report import EvaluationProgress, EvaluationReport
from avo_tui.domain.task import TaskInfo
from avo_tui.evaluation.candidates import read_candidate
from avo_tui.evaluation.evaluators import make_evaluator
from avo_tui.operators.toolbox.quick_tools import QuickRow, left_out, quick_rows, quick_text
from avo_tui.operators.toolbox.variants import (
    MOST,
    MOST_PAIRS,
    Timed,
    Variant,
    check_variants,
    table_text,
    time_variants,
    unique,
    variants_of,
)
from avo_tui.store import SessionReader, find_session

app = typer.Typer()


@app.command(epilog="Example: avo bench demo a.cpp b.cpp --against head -D TILE=32,64")
def bench(
    name: Name,
    paths: Annotated[list[Path], typer.Argument(help="Candidates: one file or folder each.")],
    against: Annotated[
        str, typer.Option("--against", help="A version: 12, v12, head or best.")
    ] = "head",
    defines: Annotated[
        list[str] | None,
        typer.Option("-D", help="NAME=value,value,…: every combination is timed."),
    ] = None,
    flags: Annotated[
        list[str] | None,
        typer.Option(
            "--flags",
            metavar="FLAGS",
            help="A set of compiler flags in place of the source's `// flags:` lines, such as"
            " '-O2 -fno-unroll-loops'; '' is none. May be repeated: every set is timed.",
        ),
    ] = None,
    pairs: Annotated[
        int | None,
        typer.Option(
            "--pairs",
            min=1,
            max=32,
            help="Pairs of fresh processes for each: 1 without; with --precision at most so many.",
        ),
    ] = None,
    precision: Annotated[
        float | None,
        typer.Option(
            "--precision",
            min=0.0005,
            max=0.2,
            help="Add pairs until the 95% interval is no wider than this on either side; 0.003 is"
            " 0.3%. One that is shown to be slower than another gets no more.",
        ),
    ] = None,
    quick: Annotated[
        bool,
        typer.Option(
            "--quick",
            help="Sooner: many calls in turn in one process, with warm and with cold caches."
            " For small differences; not what the gate measures.",
        ),
    ] = False,
    seconds: Annotated[
        float | None,
        typer.Option(
            "--seconds",
            min=0.5,
            max=60,
            help="With --quick: seconds of calls for each (6); compiling and starting come on top.",
        ),
    ] = None,
    configuration: Annotated[
        str | None,
        typer.Option("--configuration", help="With --quick: one scored configuration only."),
    ] = None,
    unless_busy: UnlessBusy = False,
    as_json: Json = False,
) -> None:
    """Time candidates beside a version: in turn, in fresh processes, on cold inputs.

    No attempt, no commit, nothing is recorded. Exit status 1 where one could not be timed.
    """
    if quick and (pairs is not None or precision is not None):
        raise Failure("--quick measures no pairs: leave --pairs and --precision out")
    if not quick and (seconds is not None or configuration is not None):
        raise Failure("--seconds and --configuration belong to --quick; add it")

    reader = SessionReader.open(find_session(name))
    state = reader.state
    number = pick(state, against)
    other = reader.candidate(state.versions[number].candidate)
    variants = unique(_variants(paths, (defines or [], flags or []), other, state.session.task))
    say_busy(unless_busy)
    if quick:
        well = _quick(reader, variants, (number, other), (configuration, seconds), as_json)
    else:
        well = _official(reader, variants, (number, other), (pairs, precision), as_json)
    if not well:
        raise typer.Exit(1)


def _official(
    reader: SessionReader,
    variants: list[Variant],
    against: tuple[int, Candidate],
    effort: tuple[int | None, float | None],
    as_json: bool,
) -> bool:
    """Time pairs of fresh processes and print them; False where one could not be timed."""
    timed = [Timed(variant) for variant in variants]
    known = spread(reader.state)
    with _kept_when_interrupted() as whole:
        asyncio.run(_time(reader, timed, against[1], effort))
    if as_json:
        _emit(reader.name, against[0], timed, known)
    else:
        typer.echo(safe(table_text(timed, f"v{against[0]}", known)))
    if whole.interrupted:
        raise typer.Exit(INTERRUPTED)
    return not any(row.trouble for row in timed)


def _quick(
    reader: SessionReader,
    variants: list[Variant],
    against: tuple[int, Candidate],
    wanted: tuple[str | None, float | None],
    as_json: bool,
) -> bool:
    """Compare quickly and print it; False where one could not be compared. `wanted`: the
    configuration, or None for all, and the seconds for each variant."""
    rows: list[QuickRow] = []
    with _kept_when_interrupted() as whole:
        asyncio.run(_compare_quickly(reader, rows, variants, against[1], wanted))
    if as_json:
        _emit_quick(reader.name, against[0], rows)
    else:
        typer.echo(safe(quick_text(rows, f"v{against[0]}")))
    if whole.interrupted:
        raise typer.Exit(INTERRUPTED)
    return not any(row.result.trouble for row in rows)


async def _compare_quickly(
    reader: SessionReader,
    rows: list[QuickRow],
    variants: list[Variant],
    other: Candidate,
    wanted: tuple[str | None, float | None],
) -> None:
    """Add a row for each variant to `rows`."""
    require_agreement(reader.folder)
    task = reader.state.session.task.name
    async with make_evaluator(reader.state.session.settings, task) as evaluator:

        async def compare(candidate: Candidate, more: bool) -> QuickComparison:
            question = QuickQuestion(
                files=candidate.files, other=other.files, configuration=wanted[0],
                seconds=wanted[1] or QUICK_SECONDS, more=more,
            )  # fmt: skip
            return await evaluator.ask(task, question, _say_waiting())

        await quick_rows(rows, variants, compare, MOST_SECONDS, _say_begin)
        if rest := left_out(variants, rows).strip():
            typer.echo(f"avo: {rest}", err=True)


class _Kept:
    """Whether the person broke off what is measured."""

    interrupted = False


@contextlib.contextmanager
def _kept_when_interrupted() -> Iterator[_Kept]:
    """What was measured until Ctrl+C is printed all the same."""
    kept = _Kept()
    try:
        yield kept
    except KeyboardInterrupt:
        kept.interrupted = True
        typer.echo("avo: interrupted; what was measured until then:", err=True)


def _say_begin(doing: str, result: str) -> None:
    """Say on standard error what begins, and what the variant before gave."""
    for text in filter(None, (result, doing)):
        typer.echo(f"avo: {plain(text, 300)}", err=True)


def _say_waiting() -> Callable[[EvaluationProgress], None]:
    """A sink that says once for each variant that the device is in use, and by whom."""
    told = False

    def hear(progress: EvaluationProgress) -> None:
        nonlocal told
        if progress.stage == "waiting" and progress.state == "started" and not told:
            told = True
            typer.echo(f"avo: waiting: {progress.detail}", err=True)

    return hear


def _emit_quick(name: str, number: int, rows: list[QuickRow]) -> None:

    emit(
        {
            "session": name,
            "against": number,
            "quick": "both in one process, in turn: not what the gate measures",
            "candidates": [
                {
                    "name": row.variant.name,
                    **{
                        caches: None if row.result.trouble else _speed(row.result.estimate(caches))
                        for caches in CACHES
                    },
                    **row.result.model_dump(mode="json", exclude={"warm", "cold"}),
                    "configurations": {
                        caches: {
                            configuration: _speed(row.result.estimate(caches, configuration))
                            for configuration in row.result.of(caches)
                        }
                        for caches in CACHES
                    },
                }
                for row in rows
            ],
        }
    )


def _speed(estimate: Estimate) -> dict[str, float | list[float]]:
    """Speed over the version with its 95% interval, as in `candidates` of pairs."""
    low, high = estimate.interval()
    return {"gain": math.exp(estimate.mean), "interval": [1 + low, 1 + high]}


def _variants(
    paths: list[Path], varied: tuple[list[str], list[str]], origin: Candidate, task: TaskInfo
) -> list[Variant]:
    """The files with every combination of `varied`: definitions of macros, and sets of flags."""
    values: dict[str, list[str]] = {}
    for text in varied[0]:
        macro, equals, choices = text.partition("=")
        if equals and not all(choice.strip() for choice in choices.split(",")):
            raise typer.BadParameter(
                f"{text!r} names no value, or none beside a comma; write {macro or 'NAME'}=32,64",
                param_hint="-D",
            )
        values[macro] = choices.split(",") if choices else ["1"]
    variants: list[Variant] = []
    for path in paths:
        candidate = read_candidate(path, task, origin)
        if not task.tree and path.is_file() and len(origin.files) == 1:
            # whatever the file is called, it stands for the one file of the version
            candidate = candidate.replaced(
                files=dict(zip(origin.files, candidate.files.values(), strict=True))
            )
        variants += variants_of(str(path), candidate, values, varied[1])
    if len(variants) > MOST:
        raise Failure(f"{len(variants)} variants are more than {MOST}; take fewer")
    return variants


async def _time(
    reader: SessionReader,
    timed: list[Timed],
    other: Candidate,
    effort: tuple[int | None, float | None],
) -> None:
    """Check each of `timed`, and add pairs to those that are correct.

    `effort`: pairs of each, and the precision to reach.
    """
    require_agreement(reader.folder)
    task = reader.state.session.task.name
    pairs, precision = effort
    most = pairs or (1 if precision is None else MOST_PAIRS)
    async with make_evaluator(reader.state.session.settings, task) as evaluator:

        async def check(candidate: Candidate) -> EvaluationReport:
            return await evaluator.check(task, candidate, quick=True)

        async def compare(candidate: Candidate, replicate: int, more: bool) -> EvaluationReport:
            return await evaluator.remeasure(
                task, candidate, other, replicate=replicate, more=more, progress=_say_waiting()
            )

        await check_variants(timed, check, _say_begin)
        prior = spread(reader.state).prior
        await time_variants(timed, compare, prior, most, precision, _say_begin)


def _emit(name: str, number: int, timed: list[Timed], known: Spread) -> None:

    emit(
        {
            "session": name,
            "against": number,
            "candidates": [
                {
                    "name": row.variant.name,
                    "gain": row.gain or None,
                    "interval": _interval(row, known),
                    "trouble": row.trouble or None,
                    "log": row.log or None,
                    "pairs": [pair.model_dump(mode="json") for pair in row.pairs],
                }
                for row in timed
            ],
        }
    )


def _interval(row: Timed, known: Spread) -> tuple[float, float] | None:
    """The 95% interval of a variant's speed over the version; None if it could not be timed."""
    if not row.pairs:
        return None
    low, high = row.estimate(known.prior).interval()
    return 1 + low, 1 + high
