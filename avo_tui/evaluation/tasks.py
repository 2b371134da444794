"""Finds the tasks on this machine. Listing them imports no torch."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import sys
from dataclasses import dataclass
from pathlib import Path

import avo_tui
from avo_tui.domain.task import TaskInfo
from avo_tui.evaluation.ports import BrokenTask, EvaluatorError
from avo_tui.evaluation.task import Task

_PROBLEMS = "avo_tui.evaluation.problems."

KERNELS_VARIABLE = "AVO_KERNELS"
"""Environment variable that names one more folder of tasks, the first to be looked at."""


def roots(kernels: Path | None = None) -> list[Path]:
    """Folders that hold task folders; the first that has a task of a name wins.

    Order: `kernels`, `$AVO_KERNELS`, `kernels/` of the current directory, of the checkout, and of
    the installed package.
    """
    package = Path(avo_tui.__file__).resolve().parent
    named = os.environ.get(KERNELS_VARIABLE)
    candidates = [
        kernels,
        Path(named) if named else None,
        Path.cwd() / "kernels",
        package.parent / "kernels",
        package / "data" / "kernels",
    ]
    found = [p.resolve() for p in candidates if p is not None and p.is_dir()]
    return list(dict.fromkeys(found))


@dataclass(frozen=True)
class Tasks:
    """What was found, by name; the broken ones with their reason."""

    sound: dict[str, Task]
    broken: dict[str, BrokenTask]

    def infos(self) -> list[TaskInfo]:
        """The public faces, by name."""
        return [self.sound[name].info() for name in sorted(self.sound)]

    def get(self, name: str) -> Task:
        """The task of that name; raises EvaluatorError that says what there is."""
        if name in self.broken:
            raise EvaluatorError(f"task {name} is broken: {self.broken[name].error}")
        if name not in self.sound:
            known = ", ".join(sorted(self.sound)) or "none"
            raise EvaluatorError(f"there is no task {name!r}; the tasks are: {known}")
        return self.sound[name]


def find_tasks(kernels: Path | None = None) -> Tasks:
    """Loads every task folder once; a broken one does not hide the others."""
    sound: dict[str, Task] = {}
    broken: dict[str, BrokenTask] = {}
    for root in roots(kernels):
        for folder in sorted(root.iterdir()):
            name = folder.name
            if not (folder / "task.py").is_file() or name in sound or name in broken:
                continue
            try:
                sound[name] = load_task(folder)
            except EvaluatorError as error:
                broken[name] = BrokenTask(name=name, path=folder, error=str(error))
    return Tasks(sound, broken)


def load_task(folder: Path) -> Task:
    """The one Task class of `folder/task.py`; raises EvaluatorError with one sentence."""
    path = folder / "task.py"
    module_name = f"avo_task_{folder.name}_{hashlib.sha256(str(path).encode()).hexdigest()[:8]}"
    spec = importlib.util.spec_from_file_location(module_name, path)
    if spec is None or spec.loader is None:
        raise EvaluatorError(f"{path} cannot be imported")
    module = importlib.util.module_from_spec(spec)
    sys.modules[module_name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:  # a task is the user's code: anything may come
        line = getattr(error, "lineno", None) or _line_in(error, path)
        where = f" (line {line})" if line else ""
        raise EvaluatorError(f"{path}{where}: {type(error).__name__}: {error}") from error
    classes = [
        value
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, Task) and value.__module__ == module_name
    ]
    if len(classes) != 1:
        raise EvaluatorError(f"{path} must define one subclass of Task; it has {len(classes)}")
    kind = classes[0]
    missing = sorted(getattr(kind, "__abstractmethods__", ()))
    if missing:
        raise EvaluatorError(f"{path}: class {kind.__name__} lacks {', '.join(missing)}")
    try:
        task = kind()
        task.folder = folder
        _validate(task, folder)
    except EvaluatorError:
        raise
    except Exception as error:  # as above
        raise EvaluatorError(f"{path}: {type(error).__name__}: {error}") from error
    return task


def source_of(task: Task) -> str:
    """The text of every module that the task is made of, Task itself apart.

    What a score means depends on it: it is part of the conditions.
    """
    files = {task.folder / "task.py"}
    names = {kind.__module__ for kind in type(task).__mro__ if issubclass(kind, Task)}
    todo = list(names - {Task.__module__})
    seen = set(todo)
    while todo:
        module = sys.modules.get(todo.pop())
        if module is None or module.__file__ is None:
            continue
        files.add(Path(module.__file__))
        used = {getattr(value, "__module__", None) for value in vars(module).values()}
        new = {name for name in used if isinstance(name, str) and name.startswith(_PROBLEMS)} - seen
        seen |= new
        todo += new
    return "".join(path.read_text(encoding="utf-8") for path in sorted(files))


def _line_in(error: BaseException, path: Path) -> int | None:
    line, trace = None, error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == str(path):
            line = trace.tb_lineno
        trace = trace.tb_next
    return line


def _validate(task: Task, folder: Path) -> None:
    path = folder / "task.py"
    if task.name != folder.name:
        raise EvaluatorError(f"{path}: the task calls itself {task.name!r}, not {folder.name!r}")
    if not (folder / "seed").is_dir():
        raise EvaluatorError(f"{folder} has no folder seed/ with the first candidate")
    info = task.info()
    if not info.configurations:
        raise EvaluatorError(f"{path}: the task has no configurations")
    names = [c.name for c in info.configurations]
    if len(set(names)) != len(names):
        raise EvaluatorError(f"{path}: two configurations have the same name")
    if info.reference_baseline not in info.baselines:
        raise EvaluatorError(f"{path}: reference_baseline is not among baseline_names")
