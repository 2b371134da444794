"""`avo adopt` and `avo worktree`: repositories whose own commands build, test and measure."""

import asyncio
from pathlib import Path
from typing import Annotated

from typer import Argument, Exit, Option, Typer

from avo_tui.cli.errors import Failure
from avo_tui.cli.parameters import Json, Name, opened, pick
from avo_tui.cli.terminal import emit, say, tell
from avo_tui.domain.plain import plain, safe
from avo_tui.evaluation.backends.command import base as bases
from avo_tui.evaluation.backends.command import store
from avo_tui.evaluation.backends.command.adopting import (
    fill_metrics,
    missing_programs,
    pin,
    propose,
)
from avo_tui.evaluation.backends.command.base import take_base
from avo_tui.evaluation.backends.command.project import FILE, read_project
from avo_tui.evaluation.backends.command.trying import Trial, Tried, reported
from avo_tui.evaluation.backends.command.workshop import Workshop
from avo_tui.evaluation.sandbox.run import Sandbox
from avo_tui.evaluation.templates import write_example
from avo_tui.worktree import make_worktree

NEEDS = 2
"""Exit status where something could not be guessed."""


app = Typer()


@app.command(epilog="Example: avo adopt ~/src/libfoo --check")
def adopt(
    path: Annotated[Path, Argument(help="The repository: a folder, with git or without.")],
    check: Annotated[
        bool,
        Option("--check", help="Build, test and measure the base; say what is weak about it."),
    ] = False,
    editable: Annotated[str, Option(help="What may be changed: src/**,include/**.")] = "",
    build: Annotated[str, Option(help="Command that builds.")] = "",
    test: Annotated[str, Option(help="Command that tests.")] = "",
    benchmark: Annotated[str, Option(help="Command that measures.")] = "",
    format_: Annotated[
        str, Option("--format", help="How the benchmark reports; docs/repositories.md.")
    ] = "",
    goal: Annotated[str, Option(help="What is wanted, for who does it.")] = "",
    example: Annotated[
        bool, Option("--example", help="First write a small repository to PATH, to try on.")
    ] = False,
    name: Annotated[str, Option(help="What to call it; default its folder.")] = "",
    base: Annotated[str, Option(help="Commit to start from; default HEAD.")] = "",
    mutants: Annotated[
        bool, Option("--mutants/--no-mutants", help="With --check: try some mutants.")
    ] = True,
    weak: Annotated[
        bool, Option("--allow-weak-sandbox", help="Go on where nothing can be confined.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Make a repository a task: propose its avo.toml, or take the one that is there.

    Exit status 2 where something has to be said that could not be guessed.
    """
    if example:
        write_example(path)
        tell(f"{path}: a small library in C, with tests and a benchmark")
    if not path.is_dir():
        raise Failure(f"{path} is no folder; name the folder of a repository")
    file = path / FILE
    given = {"project.editable": editable, "build.command": build, "test.command": test,
             "benchmark.command": benchmark, "benchmark.format": format_, "project.goal": goal,
             "project.name": name}  # fmt: skip
    fields = {key: value for key, value in given.items() if value}
    if file.exists():
        if fields or base:
            raise Failure(f"{file} is there already: change it there, or move it away")
        tell(f"{file}: taken as it is")
    else:
        text, guessed = propose(path, fields, base)
        file.write_text(text, encoding="utf-8")
        tell(f"{file}: written; what is guessed has a comment there")
        tell(*(f"  {field}: {why}" for field, why in guessed.why.items()))
        if guessed.missing:
            asked = " and ".join(guessed.missing)
            tell(f"avo: {asked} could not be guessed: write it into {file}")
            raise Exit(NEEDS)
    if pinned := pin(path):
        tell(f"{file}: {pinned}")
    project = read_project(path)
    if changed := [n for n in bases.dirty(path) if n != FILE]:
        tell(
            f"note: {len(changed)} files differ from the commit, {changed[0]} for one; the base is"
            " the commit"
        )
    for tool in missing_programs(project):
        tell(
            f"note: {tool} is not where the commands look; install it, or name its folder:"
            f' path = ["…"] under [environment] in {file}'
        )
    take_base(path, project).seed(project.project.editable)  # says what a session would find out
    called = store.adopt(path)
    tell(*(f"agreed: {called} {grant}" for grant in project.grants))
    tried = asyncio.run(_try(path, mutants, weak)) if check else None
    if as_json:
        emit({"name": called, "file": str(file.absolute()), "grants": list(project.grants),
              "check": tried.model_dump(mode="json") if tried is not None else None})  # fmt: skip
        return
    if tried is not None:
        _say(tried)
    elif not project.benchmark.metrics:
        say(f"next: avo adopt {path} --check  (it also finds the benchmark's metrics)")
        return
    ways = [f"avo run {called}", f"avo evaluate {called} PATCH-OR-FOLDER"]
    if tried is None:
        ways.insert(0, f"avo adopt {path} --check")
    say(f"task {called}; try: {', '.join(ways)}")


async def _try(path: Path, mutants: bool, weak: bool) -> Tried:
    def doing(text: str) -> None:
        tell(f"… {plain(text)}")

    project = read_project(path)
    base = take_base(path, project)
    doing(f"base: {len(base.files)} files, {base.bytes / 1e6:.1f} MB")
    shop = Workshop(project, base, Sandbox(weak), path)
    try:
        if not project.benchmark.metrics:
            guessed = await reported(shop)
            if not guessed:
                raise Failure("the benchmark reports nothing that is measured; see its format")
            doing(f"metrics: {', '.join(fill_metrics(path, guessed))}")
            shop.close()
            shop = Workshop(read_project(path), base, Sandbox(weak), path)
        return await Trial(shop, doing).run(mutants)
    finally:
        shop.close()


def _say(tried: Tried) -> None:
    again = f", {tried.rebuild_seconds:.1f} s after a change" if tried.rebuild_seconds else ""
    lines = [
        f"build {tried.build_seconds:.1f} s{again}; tests {tried.test_seconds:.1f} s; benchmark"
        f" {tried.benchmark_seconds:.1f} s",
        *(f"  {name}: {value}" for name, value in tried.metrics.items()),
        f"noise: pairs of the base beside itself scatter by {tried.noise:.2%}, a pair takes"
        f" {tried.pair_seconds:.1f} s",
        f"ten minutes at the gate can show a gain of {tried.smallest_gain:.1%}"
        if tried.smallest_gain is not None
        else "ten minutes are too short for two pairs: choose a shorter benchmark",
        *(f"note: {note}" for note in tried.notes),
        *(f"weak: {weakness}" for weakness in tried.weaknesses),
    ]
    say(safe("\n".join(lines)))


@app.command(epilog="Example: avo worktree demo ./demo-tree")
def worktree(
    name: Name,
    to: Annotated[Path, Argument(help="A folder that is not there yet, or empty.")],
    version: Annotated[str | None, Option(help="Version to start from; default the head.")] = None,
) -> None:
    """Lay out a session's repository as a folder to edit with your own tools.

    It is a git repository of its own, so that `git diff` shows what was changed. Submit it with
    `avo submit NAME FOLDER`, or in the seat with take_worktree.
    """
    reader = opened(name)
    state = reader.state
    task = state.session.task
    if not task.tree:
        raise Failure(f"{name} is about a kernel, not a repository: its source is a few files")
    number = pick(state, version) if version else state.session.head
    candidate = reader.candidate(state.versions[number].candidate) if number is not None else None
    make_worktree(to, task, candidate)
    seat = f"avo seat {name} take_worktree folder={to.absolute()}"
    then = seat if state.session.settings.operator in {"seat", "acp"} else f"avo submit {name} {to}"
    say(f"{to}: edit what {', '.join(task.editable)} covers; then: {then}")
