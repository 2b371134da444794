"""Makes a task's folder of a reference. Its code first runs in the sandbox.

There it has no network, reads nothing of the user's and writes only its scratch folder; what comes
back is text that is checked. A run of the task later executes the reference in the evaluation's
worker, as the user: whoever adopts a reference says by that that its code is trusted so far.
"""

import asyncio
import contextlib
import json
import os
import re
import shutil
import site
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import avo_tui
from avo_tui.domain.plain import plain, safe
from avo_tui.evaluation.backends.cpp.toolchain import read_untrusted
from avo_tui.evaluation.ports import EvaluatorError
from avo_tui.evaluation.references.deriving import PROGRESS, Wishes
from avo_tui.evaluation.references.files import COMPANIONS, Companions, gather
from avo_tui.evaluation.references.spec import FILE, SOURCE, ReferenceSpec
from avo_tui.evaluation.sandbox.policy import Job, Limits, Outcome
from avo_tui.evaluation.sandbox.run import Sandbox

CPU_FLOPS, CPU_BYTES = 1e8, 8e6
"""What one run of a task for one CPU thread takes at most, unless the person asks for more."""
TellStage = Callable[[str], None]
"""Told what is looked at, in a few words."""
_MOST_LINES, _MOST_BYTES = 50, 1 << 16
_PACKAGE = str(Path(avo_tui.__file__).resolve().parent.parent)
_LIMITS = Limits(seconds=300, memory_bytes=6 << 30, address_bytes=None, processes=64)
_CASE = re.compile(r"[a-zA-Z0-9_.-]{1,80}")
_BASES = {"cpp": "CppReference", "cuda": "CudaReference"}


def wishes_for(
    name: str, language: str, origin: str, *, full_size: bool = False, **more: Any
) -> Wishes:
    """The usual wishes for a language, and `more` of `Wishes`.

    Raises EvaluatorError for a language that cannot be had.
    """
    if language not in _BASES:
        raise EvaluatorError(
            f"a task from a reference is in {' or '.join(_BASES)}, not in {language!r}"
        )
    if language == "cpp" and not full_size:
        more = {"most_flops": CPU_FLOPS, "most_bytes": CPU_BYTES, **more}
    return Wishes(name, language, origin, **more)


async def derive(
    text: str,
    wishes: Wishes,
    sandbox: Sandbox,
    companions: Companions | None = None,
    progress: TellStage = lambda text: None,
) -> ReferenceSpec:
    """Runs the reference in a sandbox like the one given. Raises EvaluatorError.

    `progress` is told what is looked at meanwhile.
    """
    beside = (companions or Companions()).model_dump()
    sandbox = Sandbox(sandbox.allow_weak)
    packages = added_packages()
    sandbox.hidden = ()  # the deriving itself is a module of the program
    with sandbox.scratch() as folder:
        file = Path(wishes.origin).name
        request = {"text": text, "file": file, "wishes": asdict(wishes), "companions": beside}
        (folder / "request.json").write_text(json.dumps(request), encoding="utf-8")
        module = "avo_tui.evaluation.references.deriving"
        job = Job(
            command=(sys.executable, "-m", module, "request.json", "reply.json"),
            scratch=folder,
            limits=_LIMITS,
            read=(_PACKAGE, sys.prefix, sys.base_prefix, *site.getsitepackages(), *packages),
            environment={
                "PYTHONPATH": os.pathsep.join([_PACKAGE, *packages]),
                "OMP_NUM_THREADS": "1",
            },
        )
        running = await sandbox.start(job)
        telling = asyncio.create_task(_tell(folder / PROGRESS, progress))
        try:
            outcome = await running.wait(job.limits)
        finally:
            telling.cancel()
            await asyncio.gather(telling, return_exceptions=True)
        reply = folder / "reply.json"
        if not outcome.ok or not reply.exists():
            raise EvaluatorError(f"{wishes.origin} could not be looked at: {unanswered(outcome)}")
        return answered(reply, wishes)


def unanswered(outcome: Outcome) -> str:
    """Why there is no answer, in a phrase. The last words are the reference's own."""
    if outcome.reason == "exited" and not outcome.stderr.strip():
        return "its own code ended the program, as os._exit does"
    if outcome.reason == "time":
        return (
            f"it was not done after {_LIMITS.seconds:g} s: see that its own code comes to an end,"
            " or take smaller sizes (--set)"
        )
    last = (outcome.stderr.strip().splitlines() or ["it said nothing"])[-1]
    return f"{outcome.reason}: {plain(outcome.error or last, 300)}"


async def _tell(file: Path, progress: TellStage) -> None:
    """Passes on the lines that the sandboxed process adds to a file, until it is cancelled.

    The reference itself may write there: lines are made plain, and few are taken.
    """
    known = 0
    while known < _MOST_LINES:
        with contextlib.suppress(EvaluatorError):  # not there yet, or no file of ours
            lines = read_untrusted(file, _MOST_BYTES).decode(errors="replace").split("\n")[:-1]
            for line in lines[known:_MOST_LINES]:
                progress(plain(line, 120))
            known = max(known, len(lines))
        await asyncio.sleep(0.1)


def answered(reply: Path, wishes: Wishes) -> ReferenceSpec:
    """The answer in a file that the reference itself may have written.

    Raises EvaluatorError with what the deriving says, or if it is no answer.
    """
    try:
        content = json.loads(read_untrusted(reply))
        if error := content.get("error"):
            file = Path(wishes.origin).name  # most sentences begin with it already
            told = plain(str(error), 2000)
            raise EvaluatorError(told if told.startswith(file) else f"{wishes.origin}: {told}")
        spec = ReferenceSpec.model_validate(content["spec"])
    except (KeyError, ValueError, AttributeError, RecursionError) as error:
        why = plain(str(error), 300)
        raise EvaluatorError(f"{wishes.origin} gave an answer that is none: {why}") from error
    return _checked(spec, wishes)


def _checked(spec: ReferenceSpec, wishes: Wishes) -> ReferenceSpec:
    """The answer, with what was asked for as it was asked.

    The reference can write the answer itself. Its names go into C++ sources and into names of
    files. Raises EvaluatorError for one that does not fit there.
    """
    names = [*(tensor.name for tensor in spec.tensors), *spec.axes]
    bad = [name for name in names if not (name.isascii() and name.isidentifier())]
    bad += [case.name for case in (*spec.scored, *spec.hidden) if not _CASE.fullmatch(case.name)]
    if bad:
        raise EvaluatorError(f"{wishes.origin} gave {bad[0][:60]!r}, which is no name")
    asked = {
        "origin": wishes.origin, "name": wishes.name, "title": wishes.title,
        "language": wishes.language, "evaluation_mode": wishes.evaluation_mode,
        "compiled": wishes.compiled, "remarks": tuple(map(safe, spec.remarks)),
    }  # fmt: skip
    return spec.model_copy(update=asked)


def added_packages() -> list[str]:
    """Where packages are installed that this process imports besides those of its interpreter: the
    user's own site-packages, and folders that PYTHONPATH or a `.pth` file names.

    Other folders that it imports from, such as the one it was started in, hold files of the
    person's and are left out.
    """
    interpreters = site.getsitepackages()
    others = [os.path.realpath(path) for path in sys.path if path and path not in interpreters]
    return [path for path in others if next(Path(path).glob("*.dist-info"), None)]


def adopt(
    file: Path,
    folder: Path,
    wishes: Wishes,
    sandbox: Sandbox,
    progress: TellStage = lambda text: None,
) -> ReferenceSpec:
    """Derives the reference in `file`, or in a folder of GPU MODE, and writes a task's folder.

    Raises EvaluatorError where it cannot be read, is no reference, or the task's folder is there.
    """
    text, companions = gather(file)
    if folder.exists():
        raise EvaluatorError(f"{folder} is there already; choose another name")
    spec = asyncio.run(derive(text, wishes, sandbox, companions, progress))
    fresh = folder.with_name(f".{folder.name}.new")
    shutil.rmtree(fresh, ignore_errors=True)
    try:
        fresh.mkdir(parents=True)
        (fresh / SOURCE).write_text(text, encoding="utf-8")
        (fresh / FILE).write_text(spec.model_dump_json(indent=1), encoding="utf-8")
        if companions != Companions():
            (fresh / COMPANIONS).write_text(companions.model_dump_json(indent=1), encoding="utf-8")
        (fresh / "task.py").write_text(_task_py(spec), encoding="utf-8")
        fresh.rename(folder)
    except OSError as error:
        raise EvaluatorError(f"{folder} cannot be written: {error.strerror}") from error
    return spec


def _task_py(spec: ReferenceSpec) -> str:
    base = _BASES[spec.language]
    return f'''"""{spec.name}: made by `avo task from`; reference.json says what was derived."""

from pathlib import Path
from typing import Any

from avo_tui.evaluation.references.task import {base}


class Problem({base}):
    """Override here what should be otherwise, such as `tolerances` or `check_cases`."""

    here = Path(__file__).parent
'''
