"""What every backend must get right: good, wrong and cheating candidates, each with its verdict.

    python -m avo_tui.evaluation.conformance TASK FOLDER [--kernels FOLDER]

FOLDER holds a candidate of each kind for a task of the backend's language, in a folder of the
kind's name, and `conformance.toml`, which says of each other kind why the language cannot express
it:

    [cannot]
    writes_behind = "programs have no addresses"

Every kind is either there or excused. See `docs/adding.md`.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tomllib
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from avo_tui.domain.questions import EvaluateQuestion
from avo_tui.domain.verdict import Verdict
from avo_tui.evaluation.candidates import read_candidate
from avo_tui.evaluation.pipeline import Pipeline
from avo_tui.evaluation.ports import EvaluatorError

_WRONG, _OUTSIDE = Verdict.WRONG_RESULT, Verdict.ILLEGAL_ACCESS
KINDS: Mapping[str, Verdict] = {
    "honest": Verdict.CORRECT,  # an honest kernel
    "never_writes": _WRONG,  # outputs are never written
    "constant": _WRONG,  # a constant, whatever the inputs
    "mean": _WRONG,  # a value that is right in the mean
    "part_left_out": _WRONG,  # a part of the work is left out
    "ignores_a_flag": _WRONG,  # a flag of the configuration is ignored
    "off_by_one": _WRONG,  # an index is wrong by one
    "faint": _WRONG,  # wrong by less than the noise of most values
    "low_precision": _WRONG,  # computed in too low a precision
    "unset_memory": _WRONG,  # memory is read that was never set
    "unsteady": _WRONG,  # two runs on the same inputs differ
    "some_shapes": _WRONG,  # right on some shapes only
    "changes_inputs": _OUTSIDE,  # inputs are changed
    "writes_behind": _OUTSIDE,  # memory behind an output is written
    "writes_before": _OUTSIDE,  # memory before an output is written
    "null_pointer": _OUTSIDE,  # a null pointer is followed
    "no_end": Verdict.TIMEOUT,  # a run that does not end
    "does_not_compile": Verdict.COMPILE_ERROR,  # a source that does not compile
}
"""Name of a way in which a candidate can be right or wrong → the verdict that it must get."""


@dataclass(frozen=True)
class Row:
    kind: str
    verdict: Verdict | None
    """The verdict; None if there is no candidate of this kind."""
    words: str
    """What the report said, or why there is no candidate."""
    ok: bool


def excuses(folder: Path) -> dict[str, str]:
    """Kind → why the language cannot express it. Raises ValueError for a kind that is not known."""
    file = folder / "conformance.toml"
    text = file.read_text(encoding="utf-8") if file.exists() else ""
    cannot = tomllib.loads(text).get("cannot", {})
    for name in cannot:
        if name not in KINDS:
            raise ValueError(f"{file}: there is no kind {name!r}; there are {', '.join(KINDS)}")
    return {str(name): str(why) for name, why in cannot.items()}


async def examine(pipeline: Pipeline, task: str, folder: Path) -> AsyncIterator[Row]:
    """Runs the candidates of a folder through check and benchmark; a row for each kind.

    A kind that is neither there nor excused is not ok, and neither is a score that came with any
    verdict but `correct`, or did not come with that.
    """
    cannot = excuses(folder)
    for name, wanted in KINDS.items():
        if not (folder / name).is_dir():
            yield Row(name, None, cannot.get(name, "missing"), name in cannot)
            continue
        candidate = read_candidate(folder / name)
        report = await pipeline.ask(task, EvaluateQuestion(files=candidate.files))
        scored = (report.score is not None) == (report.verdict is Verdict.CORRECT)
        ok = report.verdict is wanted and scored and bool(report.feedback.summary)
        yield Row(name, report.verdict, report.feedback.summary, ok)


async def _main(options: argparse.Namespace) -> int:
    pipeline, failed = Pipeline(options.kernels), 0
    try:
        async for row in examine(pipeline, options.task, options.folder):
            mark = "ok  " if row.ok else "FAIL"
            wanted = KINDS[row.kind]
            verdict = f"{row.verdict or 'no candidate'} (wanted {wanted})"
            print(f"{mark} {row.kind:<16} {verdict}: {row.words}", flush=True)
            failed += not row.ok
    finally:
        await pipeline.close()
    return 1 if failed else 0


def main() -> int:
    """The command line; 1 where a kind got another verdict than it must."""
    parser = argparse.ArgumentParser(
        prog="python -m avo_tui.evaluation.conformance", description=__doc__.splitlines()[0]
    )
    parser.add_argument("task", help="a task of the backend's language")
    parser.add_argument("folder", type=Path, help="a folder with a candidate of each kind")
    parser.add_argument("--kernels", type=Path, help="where the task is")
    try:
        return asyncio.run(_main(parser.parse_args()))
    except (EvaluatorError, ValueError, OSError) as error:
        print(error, file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
