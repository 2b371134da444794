"""Languages of a task: whether a backend compiles it, and the same task in a further language.

A folder `seed-LANGUAGE` beside `seed/` offers the task in that language too, under the name
`TASK@LANGUAGE`: the same inputs, reference, configurations and baselines.
"""

from __future__ import annotations

import re
from pathlib import Path

from avo_tui.evaluation.backends import registry
from avo_tui.evaluation.ports import EvaluatorError
from avo_tui.evaluation.task import Task
from avo_tui.evaluation.task_static_checks import Fault


def require_language(task: Task) -> None:
    """Raises EvaluatorError, with file and line, where nothing compiles the task's seed."""
    try:
        suffixes = registry.descriptor(task.language).suffixes
    except EvaluatorError as error:
        raise EvaluatorError(Fault("language", str(error)).text(task)) from error
    if suffixes and not any(name.endswith(suffixes) for name in task.seed().files):
        fault = Fault(
            "seed",
            f"{task.folder / task.seed_folder} has no file that ends in "
            f"{' or '.join(suffixes)}, as {task.language} candidates do",
        )
        raise EvaluatorError(fault.text(task))


SEPARATOR = "@"
_PREFIX = "seed-"
_LANGUAGE = re.compile(r"[a-z][a-z0-9_-]{0,39}")


def further_languages(folder: Path) -> list[str]:
    """Languages that a task's folder has a seed in, beside its own. Runs nothing of it."""
    names = [p.name.removeprefix(_PREFIX) for p in folder.glob(f"{_PREFIX}*") if p.is_dir()]
    return sorted(name for name in names if _LANGUAGE.fullmatch(name))


def in_language(task: Task, language: str) -> Task:
    """The task for candidates of another language; its seed is in `seed-LANGUAGE`.

    Raises EvaluatorError where no backend compiles that language.
    """
    kind = type(task)
    variant: type[Task] = type(
        kind.__name__,
        (kind,),
        {
            "__module__": kind.__module__,
            "name": f"{task.name}{SEPARATOR}{language}",
            "title": f"{task.title}, {language}",
            "language": language,
            "description": registry.descriptor(language).describe(task.description),
            "seed_folder": f"{_PREFIX}{language}",
        },
    )
    other = object.__new__(variant)
    other.__dict__.update(task.__dict__)
    return other
