"""Loads a task folder; whatever is wrong with it is one sentence with the file and the line."""

from __future__ import annotations

import hashlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType

from avo_tui.evaluation import task_static_checks
from avo_tui.evaluation.ports import EvaluatorError
from avo_tui.evaluation.task import Task

_PARTS = ("avo_tui.evaluation.problems.", "avo_tui.evaluation.references.")


def load_task(folder: Path) -> Task:
    """The one Task class of `folder/task.py`; raises EvaluatorError with one sentence."""
    path = folder / "task.py"
    module = _import(path, folder.name)
    classes = [
        value
        for value in vars(module).values()
        if isinstance(value, type)
        and issubclass(value, Task)
        and value.__module__ == module.__name__
    ]
    if len(classes) != 1:
        names = ", ".join(sorted(kind.__name__ for kind in classes))
        have = f"{len(classes)} ({names})" if names else "0"
        raise EvaluatorError(f"{path} must define one subclass of Task; it has {have}")
    kind = classes[0]
    missing = sorted(getattr(kind, "__abstractmethods__", ()))
    if missing:
        line = task_static_checks.line_of(path, kind.__name__, "")
        raise EvaluatorError(
            f"{path} (line {line}): class {kind.__name__} lacks {', '.join(missing)}"
        )
    try:
        task = kind()
        task.folder = folder
    except Exception as error:  # a task is the user's code: anything may come
        raise EvaluatorError(_sentence(error, path)) from error
    task_static_checks.require(task)
    return task


def _import(path: Path, name: str) -> ModuleType:
    """Runs `task.py` as a module of its own. Raises EvaluatorError with file and line."""
    module_name = f"avo_task_{name}_{hashlib.sha256(str(path).encode()).hexdigest()[:8]}"
    spec = importlib.util.spec_from_file_location(module_name, path)
    if spec is None or spec.loader is None:
        raise EvaluatorError(f"{path} cannot be imported")
    module = importlib.util.module_from_spec(spec)
    sys.modules[module_name] = module
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:  # a task is the user's code: anything may come
        raise EvaluatorError(_sentence(error, path)) from error
    return module


def _sentence(error: BaseException, path: Path) -> str:
    line = getattr(error, "lineno", None) or task_static_checks.line_in(error, path)
    where = f" (line {line})" if line else ""
    return f"{path}{where}: {type(error).__name__}: {task_static_checks.one_line(error)}"


def source_of(task: Task) -> str:
    """The text of every module that the task is made of, Task itself apart.

    What a score means depends on it: it is part of the conditions.
    """
    files = {task.folder / "task.py", *task.own_files()}
    names = {kind.__module__ for kind in type(task).__mro__ if issubclass(kind, Task)}
    todo = list(names - {Task.__module__})
    seen = set(todo)
    while todo:
        module = sys.modules.get(todo.pop())
        if module is None or module.__file__ is None:
            continue
        files.add(Path(module.__file__))
        used = {getattr(value, "__module__", None) for value in vars(module).values()}
        new = {name for name in used if isinstance(name, str) and name.startswith(_PARTS)} - seen
        seen |= new
        todo += new
    return "".join(path.read_text(encoding="utf-8") for path in sorted(files))
