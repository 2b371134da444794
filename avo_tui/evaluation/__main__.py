"""`python -m avo_tui.evaluation`: one evaluation, or (`--serve`, `--spool`) a worker.

python -m avo_tui.evaluation TASK [PATH] [--json] [--stage compile|check|benchmark]
python -m avo_tui.evaluation TASK [PATH] --sanitize all
python -m avo_tui.evaluation --serve
python -m avo_tui.evaluation --spool FOLDER [--until-empty] [--seconds N]
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys
from pathlib import Path

from avo_tui.domain.questions import (
    BreadthQuestion,
    CheckQuestion,
    CompileQuestion,
    EvaluateQuestion,
    ProfileQuestion,
    ReportQuestion,
    SanitizeQuestion,
)
from avo_tui.domain.report import EvaluationProgress
from avo_tui.evaluation.backends.cuda.device_tools import parse_tools
from avo_tui.evaluation.backends.cuda.toolkit import architecture
from avo_tui.evaluation.candidates import read_candidate
from avo_tui.evaluation.pipeline import Pipeline
from avo_tui.evaluation.ports import EvaluatorError
from avo_tui.evaluation.report import ProgressLines, as_json, as_text
from avo_tui.evaluation.sandbox import linux
from avo_tui.evaluation.sandbox.policy import SandboxError
from avo_tui.evaluation.sandbox.scratch import sweep
from avo_tui.evaluation.serve import serve
from avo_tui.evaluation.workers import machine, spool_worker


def _sanitizers(text: str) -> tuple[str, ...]:
    try:
        return parse_tools(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m avo_tui.evaluation",
        description="Compiles, checks and benchmarks one candidate of a task.",
        epilog="example: python -m avo_tui.evaluation attention_cpu kernel.cpp --json",
    )
    parser.add_argument("task", nargs="?", help="name of the task")
    parser.add_argument("path", nargs="?", type=Path, help="file or folder (default: the seed)")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.add_argument("--stage", choices=("compile", "check", "benchmark"), default="benchmark")
    parser.add_argument("--quick", action="store_true", help="check the small configurations only")
    parser.add_argument(
        "--arch", type=architecture, help="compile CUDA for this architecture, such as sm_100a"
    )
    parser.add_argument(
        "--breadth", action="store_true", help="also time it on inputs that are not scored"
    )
    parser.add_argument(
        "--sanitize", type=_sanitizers, metavar="TOOLS", help="only run compute-sanitizer: all, or "
        "some of memcheck,racecheck,synccheck,initcheck",
    )  # fmt: skip
    parser.add_argument(
        "--profile", action="store_true", help="only run the profiler on the first configuration"
    )
    parser.add_argument("--kernels", type=Path, help="folder of tasks to look at first")
    parser.add_argument(
        "--allow-weak-sandbox", action="store_true",
        help="run the candidate also where this machine cannot confine it",
    )  # fmt: skip
    parser.add_argument("--serve", action="store_true", help="serve requests on standard input")
    parser.add_argument("--gpu", metavar="N", help="with --serve: use only this GPU, from 0")
    parser.add_argument(
        "--cores", type=machine.parse_cores, metavar="SET",
        help="with --serve: use only these processor cores, such as 0-3 or 0+2",
    )  # fmt: skip
    parser.add_argument(
        "--lease", type=float, metavar="SECONDS",
        help="with --serve: end when nothing is heard for so long",
    )  # fmt: skip
    parser.add_argument(
        "--spool", type=Path, metavar="FOLDER",
        help="serve the requests in a folder; as `avo worker`, where only this package is needed",
    )  # fmt: skip
    parser.add_argument(
        "--until-empty", action="store_true", help="with --spool: end when no request is left"
    )
    parser.add_argument(
        "--seconds", type=float, metavar="N", help="with --spool: end after so long"
    )
    parser.add_argument(
        "--list-devices", action="store_true", help="print the devices of this machine as JSON"
    )
    return parser.parse_args()


def _question(
    options: argparse.Namespace, files: dict[str, str]
) -> ReportQuestion | ProfileQuestion | SanitizeQuestion:
    if options.profile:
        return ProfileQuestion(files=files)
    if options.sanitize:
        return SanitizeQuestion(files=files, tools=options.sanitize)
    if options.quick or options.stage == "check":
        return CheckQuestion(files=files, quick=options.quick)
    if options.stage == "compile":
        return CompileQuestion(files=files)
    return EvaluateQuestion(files=files)


async def _look_or_measure(options: argparse.Namespace) -> tuple[str, bool]:
    """(what to print, whether all is well): an evaluation, or the profiler or the sanitizer."""
    sweep()
    pipeline = Pipeline(options.kernels, options.allow_weak_sandbox, options.arch)
    task = pipeline.tasks.get(options.task)
    candidate = read_candidate(options.path) if options.path else task.seed()
    lines = ProgressLines()

    def show(progress: EvaluationProgress) -> None:
        line = lines.line(progress)
        if line and not options.json:
            print(line, file=sys.stderr)

    try:
        question = _question(options, candidate.files)
        if not isinstance(question, ReportQuestion):
            return (await pipeline.ask(options.task, question)).text, True
        report = await pipeline.ask(options.task, question, show)
        if options.breadth and report.score is not None:
            wider = BreadthQuestion(files=candidate.files)
            report = report.with_breadth(await pipeline.ask(options.task, wider, show))
        return as_json(report) if options.json else as_text(report), report.correct
    finally:
        await pipeline.close()


def main() -> int:
    """Returns the exit status: 0 for correct; 1 for not correct or undecided; 2 for wrong usage."""
    options = _arguments()
    if options.list_devices:
        print(machine.of_this_machine().model_dump_json())
        return 0
    if options.serve:
        if options.cores is not None:
            try:
                os.sched_setaffinity(0, options.cores)
            except OSError:
                usable = ", ".join(map(str, sorted(os.sched_getaffinity(0))))
                print(f"these cores are not there; there are {usable}", file=sys.stderr)
                return 2
        if options.gpu is not None:
            os.environ.update(machine.one_gpu(options.gpu))
        # The end of standard input means the same, but is not noticed while torch is imported.
        linux.prctl(linux.PR_SET_PDEATHSIG, signal.SIGKILL)
        asyncio.run(serve(options.kernels, options.allow_weak_sandbox, options.arch, options.lease))
        return 0
    if options.spool:
        weak = ("--allow-weak-sandbox",) if options.allow_weak_sandbox else ()
        try:
            return spool_worker.work(
                options.spool, until_empty=options.until_empty, seconds=options.seconds,
                options=weak,
            )  # fmt: skip
        except EvaluatorError as error:
            print(error, file=sys.stderr)
            return 2
    if not options.task:
        print("name a task; `avo tasks` lists them", file=sys.stderr)
        return 2
    try:
        text, well = asyncio.run(_look_or_measure(options))
    except (EvaluatorError, SandboxError) as error:
        print(error, file=sys.stderr)
        return 2
    print(text)
    return 0 if well else 1


if __name__ == "__main__":
    sys.exit(main())
