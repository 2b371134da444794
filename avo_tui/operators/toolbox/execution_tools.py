"""Tools that run things: compile, check, evaluate, profile, scratch experiments."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import Field

from avo_tui.domain.candidate import check_file_name
from avo_tui.domain.questions import (
    CheckQuestion,
    CompileQuestion,
    InputsWanted,
    ListingQuestion,
    ProfileQuestion,
    ProfileWanted,
    ScratchQuestion,
    ScratchReport,
    Window,
)
from avo_tui.domain.records import Version
from avo_tui.operators.ports import AttemptResult, Interrupted, StepEnded
from avo_tui.operators.toolbox.errors import ToolError
from avo_tui.operators.toolbox.report_text import cause_line, report_text
from avo_tui.operators.toolbox.timing_tools import FLAGS, SWEEP, asked
from avo_tui.operators.toolbox.tool import tool
from avo_tui.operators.toolbox.variants import Variant, trouble_lines, variants_of
from avo_tui.operators.toolbox.workspace import Workspace

OWN_RUNS = (
    "Each was measured in a run of its own, on a machine that changes from minute to minute, so"
    " differences of a few per cent between them or to the version may be chance[[timing: : bench"
    " times what is close in turn]]."
)


@tool("execution")
async def compile(space: Workspace) -> str:
    """Compile the working candidate: the compiler's log, registers, spills, instruction counts
    where the backend knows them. Seconds; not counted as an evaluation."""
    report = await space.ask(CompileQuestion(files=space.working.files))
    return report_text(report)


@tool("execution")
async def check(space: Workspace) -> str:
    """Compile and check the working candidate for correctness on every configuration, without
    timing it. Not counted as an evaluation."""
    report = await space.ask(CheckQuestion(files=space.working.files))
    text = report_text(report)
    return f"{text}\n{asked(space)}" if report.correct else text


@tool("execution")
async def evaluate(
    space: Workspace,
    title: str = Field(
        min_length=3, max_length=200, description="What is tried, in one line, for the record."
    ),
) -> str:
    """The whole scoring function f: compile, check, benchmark. Recorded as an attempt and counted
    in the budget, also where it does not compile: compile and check cost nothing of it. Answers
    with the verdict, what went wrong and where, or the score on every configuration."""
    working = space.working
    known = space.bench.reading.find_attempt(working.id)
    result = await space.bench.evaluating.evaluate(working, title)
    space.evaluated[working.id] = result
    best = space.bench.reading.best()
    paired = space.bench.reading.paired(working.id)
    text = f"attempt {result.step}.{result.number}\n{report_text(result.report, paired)}"
    if working.id == space.parent.id:
        text += "\nThis is the unchanged source of the parent: nothing to submit."
    elif known is not None:
        text += (
            f"\nThis very source was tried before (attempt {known.step}.{known.number})."
            " Its score is the one on record. If the gate found it unclear, `submit` it again:"
            " pairs are added to those that were measured. Otherwise change something."
        )
    else:
        text += "\n" + space.fitting(_next(result, best, asked(space)))
    return text


@tool("execution")
async def evaluate_many(
    space: Workspace,
    title: str = Field(
        min_length=3, max_length=120, description="What is varied, in one line, for the record."
    ),
    sweep: dict[str, list[str]] = SWEEP,
    flags: list[str] = FLAGS,
) -> str:
    """Evaluate variants of the working candidate by macros and compiler flags, as many at once as
    the run has devices. Each is an attempt and counted in the budget, as by evaluate."""
    try:
        if not sweep and not flags:
            raise ToolError("Say what is varied: sweep, flags, or both.")
        variants = variants_of("", space.working, sweep, flags)
    except ValueError as error:
        raise ToolError(str(error)) from error
    variants, broken = await _that_compile(space, variants)
    if not variants:
        text = "\n".join(broken)
        raise ToolError(f"Nothing was evaluated, and no evaluation was spent:\n{text}")
    titled = [(v.candidate, f"{title}: {v.name}") for v in variants]
    results: list[AttemptResult] = []

    def each(result: AttemptResult) -> None:
        results.append(result)
        space.evaluated[result.candidate] = result
        line = _variant_line(result, variants)
        space.running.begin(f"{len(results)} of {len(variants)} evaluated", line)

    space.running.begin(f"0 of {len(variants)} evaluated")
    try:
        await space.bench.evaluating.evaluate_many(titled, sweep=True, each=each)
    except (Interrupted, StepEnded) as cut:
        if results:
            cut.brought = _variants_text(space, results, variants)
        raise
    return "\n".join([_variants_text(space, results, variants), *broken])


async def _that_compile(
    space: Workspace, variants: Sequence[Variant]
) -> tuple[list[Variant], list[str]]:
    """(the variants without the first ones, if these do not compile; what is wrong with those).

    A mistake in what all of them share would otherwise cost an evaluation for each.
    """
    rows: list[tuple[str, str, str]] = []
    for number, variant in enumerate(variants):
        space.running.begin(f"compile {number + 1} of {len(variants)}: {variant.name}")
        question = CompileQuestion(files=variant.candidate.files)
        report = await space.ask(question)
        if report.correct or not report.verdict.judges_candidate:
            rest = list(variants[number:])
            return rest, trouble_lines([*rows, *((v.name, "", "") for v in rest)])
        rows.append((variant.name, cause_line(report), report.feedback.log))
    return [], trouble_lines(rows)


def _variants_text(
    space: Workspace, results: Sequence[AttemptResult], variants: Sequence[Variant]
) -> str:
    """The evaluated variants, in their order: scores of different runs do not rank them."""
    return "\n".join([
        f"{len(results)} of {len(variants)} variants were evaluated, each as an attempt, in a run"
        f" of its own. {space.fitting(OWN_RUNS)} read_attempt tells more of"
        " one; submit attempt=… submits it, reset_candidate attempt=… goes on from its source.",
        *(f"- {_variant_line(result, variants)}" for result in results),
    ])  # fmt: skip


def _variant_line(result: AttemptResult, variants: Sequence[Variant]) -> str:
    """An evaluated variant: its attempt, its name, and its own ratio to the library."""
    name = next((v.name for v in variants if v.candidate.id == result.candidate), "")
    score = result.report.score
    if score is not None:
        word = f"{score.aggregate:.3f} of {score.reference_baseline}"
    else:
        word = cause_line(result.report)
    return f"attempt {result.step}.{result.number} {name}: {word}"


def _next(result: AttemptResult, best: Version, asked: str) -> str:
    """What to do next after an evaluation; for `fitting`."""
    if result.report.score is None:
        return (
            "Find the cause before the next edit[[memory: ; remember(failed, …) what others should"
            " know]]."
        )
    if best.aggregate <= 0:
        return "The first that computes something. submit asks the gate."
    return (
        f"The score is of a run of its own and does not tell whether this is faster than"
        f" v{best.number}: the machine may have been busier in one of the two."
        " [[timing: bench times both in turn, and so does submit]][[no timing: submit times both"
        f" in turn]]. {asked}"
    )


@tool("execution")
async def profile(
    space: Workspace,
    configuration: str | None = Field(
        default=None,
        description="Configuration to profile, by name; the first scored one without. Limits differ"
        " between configurations: profile the one that you want to make faster.",
    ),
    kind: str | None = Field(
        default=None,
        description="Kind of values of the inputs, one of those that are timed; the first of them"
        " without. The answer says which, and another name is answered with all of them.",
    ),
) -> str:
    """Profile the working candidate on one configuration: how busy arithmetic, memory and issue
    slots are, occupancy, what warps wait for; on a CPU which loops take what share of the time
    and what they consist of. The report is kept and shown in later openings. Says why, where
    the machine has no profiler."""
    known = [c.name for c in space.bench.reading.task.configurations]
    if configuration is not None and configuration not in known:
        raise ToolError(
            f"There is no configuration {configuration!r}. There are: {', '.join(known)}."
        )
    wanted = ProfileWanted(
        configuration=configuration or "",
        kind=kind or "",
        times="timing" not in space.without,
    )
    question = ProfileQuestion(files=space.working.files, wanted=wanted)
    return (await space.ask(question)).text


@tool("execution")
async def disassemble(
    space: Workspace,
    function: str | None = Field(
        default=None,
        max_length=300,
        description="A part of the kernel's or function's name, or the address of an instruction,"
        " such as one that a profile names. Without: on a processor the function with the loop"
        " nested deepest, on a GPU the longest kernel.",
    ),
    first_line: int | None = Field(
        default=None,
        ge=1,
        description="First line of its listing, from 1; where the hottest loop begins without.",
    ),
    lines: int | None = Field(
        default=None,
        ge=1,
        le=100_000,
        description="How many lines; without, as many as fit into one answer.",
    ),
) -> str:
    """The machine code that the working candidate compiles to: SASS of a CUDA kernel, assembly of
    a C++ function, around its hottest loop where it is long (first_line reads any other part).
    Shows what the compiler made of an idea: vectorised or not, spilled, unrolled, waits between
    loads and use."""
    window = Window(first_line=first_line, lines=lines)
    question = ListingQuestion(files=space.working.files, function=function, window=window)
    return (await space.ask(question)).text


@tool("execution")
async def scratch(
    space: Workspace,
    files: dict[str, str] = Field(description="File name → text; one of them has main()."),
    configuration: str | None = Field(
        default=None,
        description="Scored configuration whose inputs the program gets, exactly as timed calls"
        " get them: files NAME.bin beside it, and in C and C++ `inputs.h` with `inputs_NAME()` and"
        " sizes `INPUTS_NAME`.",
    ),
    kind: str | None = Field(
        default=None,
        description="Kind of values, as check and the machine's lines name them; the first timed"
        " one without.",
    ),
    seed: int = Field(default=1, ge=0, le=2**62, description="Other seeds give other values."),
) -> str:
    """Compile and run a small program of your own in the sandbox (no network, no files that stay,
    a time limit, no arguments): to time an instruction, test a helper, print a layout. With
    `configuration` it gets the very inputs of timed calls, as files and a header."""
    if not files:
        raise ToolError("Give at least one file.")
    for name in files:
        try:
            check_file_name(name)
        except ValueError as error:
            raise ToolError(f"{error}.") from None
    inputs = None
    if configuration is not None or kind is not None:
        inputs = InputsWanted(
            configuration=configuration or "",
            kind=kind or "",
            seed=seed,
        )
    question = ScratchQuestion(files=files, inputs=inputs)
    report = await space.ask(question)
    return _scratch_text(report)


def _scratch_text(report: ScratchReport) -> str:
    """How a scratch program ended, followed by the output of the compiler and the program."""
    outcome = report.outcome or "the program was not run"
    parts = [f"{outcome}, {report.seconds:.2f} s"]
    if report.compiler_log.strip():
        parts.append(f"compiler:\n{report.compiler_log.strip()}")
    parts.append(f"output:\n{report.stdout.rstrip() or '(none)'}")
    if report.stderr.strip():
        parts.append(f"standard error:\n{report.stderr.rstrip()}")
    return "\n".join(parts)
