"""Finds the tasks on this machine. Listing them imports no torch and, mostly, no task.

A folder `seed-LANGUAGE` beside `seed/` offers a task in that language too, under the name
`TASK@LANGUAGE`: the same inputs, reference, configurations and baselines.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
from collections.abc import Iterator
from pathlib import Path

import avo_tui
from avo_tui.domain.plain import plain
from avo_tui.domain.task import TaskInfo
from avo_tui.evaluation.backends import registry
from avo_tui.evaluation.backends.command import store as repositories
from avo_tui.evaluation.backends.command.task import load_repository
from avo_tui.evaluation.loading import load_task
from avo_tui.evaluation.paths import cache_folder
from avo_tui.evaluation.ports import BrokenTask, EvaluatorError
from avo_tui.evaluation.roots import Root, roots
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


__all__ = ["Tasks", "find_tasks", "load_task"]


MOST_NAME = 64
"""Characters of a task's name."""


class Tasks:
    """The task folders that there are, by name. One is loaded when it is asked for."""

    def __init__(self, folders: dict[str, tuple[Root, Path]]) -> None:
        """`folders`: name → its root and its folder."""
        self._folders = folders
        self._loaded: dict[str, Task] = {}

    @property
    def names(self) -> list[str]:
        """The names of all task folders, in order; the broken and untrusted ones too."""
        return sorted(self._folders)

    def root(self, name: str) -> Root:
        """Where a task comes from. Raises KeyError for a name that is not there."""
        return self._folders[name][0]

    def folder(self, name: str) -> Path:
        """The folder of a task; of a repository, the file that says where it is.

        Raises KeyError for a name that is not there.
        """
        return self._folders[name][1]

    @property
    def untrusted(self) -> dict[Path, list[str]]:
        """Folder that was not trusted yet → the names of its tasks, which cannot be loaded."""
        waiting: dict[Path, list[str]] = {}
        for name in self.names:
            root = self.root(name)
            if not root.trusted:
                waiting.setdefault(root.folder, []).append(name)
        return waiting

    def load(self, name: str) -> Task:
        root, folder = self._folders[name]
        if not root.trusted:
            raise EvaluatorError(
                f"task {name} is code in {folder}, which was not trusted yet; look at it, then "
                f"say: avo task trust {root.folder}"
            )
        if name not in self._loaded and folder.is_file():
            self._loaded[name] = load_repository(name)
        if name not in self._loaded:
            task = load_task(folder)
            language = name.partition(SEPARATOR)[2]
            if language:
                task = in_language(task, language)
            require_language(task)
            self._loaded[name] = task
        return self._loaded[name]

    def get(self, name: str) -> Task:
        """The task of that name; raises EvaluatorError that says what there is."""
        if name not in self._folders:
            known = ", ".join(self.names) or "none"
            raise EvaluatorError(f"there is no task {name!r}; the tasks are: {known}")
        try:
            return self.load(name)
        except EvaluatorError as error:
            if not self.root(name).trusted:
                raise
            raise EvaluatorError(f"task {name} is broken: {error}") from error

    def info(self, name: str) -> TaskInfo:
        """The public face of a task: as it was noted when its files were last loaded.

        Raises KeyError, and EvaluatorError with what is wrong with it.
        """
        root, folder = self._folders[name]
        if not root.trusted or folder.is_file():
            return self.load(name).info()  # says that it is not trusted
        note = _note(folder, name)
        if note is None:
            return self.load(name).info()
        with contextlib.suppress(OSError, ValueError):
            return TaskInfo.model_validate_json(note.read_text(encoding="utf-8"))
        info = self.load(name).info()
        fresh = note.with_suffix(f".{os.getpid()}.new")
        try:
            fresh.write_text(info.model_dump_json(), encoding="utf-8")
            fresh.replace(note)
        except OSError:
            fresh.unlink(missing_ok=True)
        return info

    def listing(self) -> Iterator[TaskInfo | BrokenTask]:
        """Every task by name: its public face, or why there is none.

        Those in a language that a package would add which is not installed are left out.
        """
        missing = registry.BACKENDS.missing()
        for name in (n for n in self.names if n.partition(SEPARATOR)[2] not in missing):
            try:
                yield self.info(name)
            except EvaluatorError as error:
                yield BrokenTask(name=name, path=self._folders[name][1], error=str(error))

    def infos(self) -> list[TaskInfo]:
        """The public faces of those that can be loaded, by name."""
        return [info for info in self.listing() if isinstance(info, TaskInfo)]


def find_tasks(kernels: Path | None = None) -> Tasks:
    """Looks for task folders; runs nothing of them. One that cannot be read hides no other."""
    folders: dict[str, tuple[Root, Path]] = {}
    for root in roots(kernels):
        try:
            inside = sorted(root.folder.iterdir())
        except OSError:  # a folder of somebody else's, say: there is nothing to list in it
            continue
        for folder in inside:
            name = plain(folder.name, MOST_NAME)  # of somebody else's, it may hold anything
            if name not in folders and (folder / "task.py").is_file():
                folders[name] = (root, folder)
                for language in further_languages(folder):
                    folders[f"{name}{SEPARATOR}{language}"] = (root, folder)
    adopted = Root(repositories.adopted_root(), "repository", True)
    for name, file in repositories.adopted().items():
        folders.setdefault(name, (adopted, file))
    return Tasks(folders)


def _note(folder: Path, name: str) -> Path | None:
    """The file that remembers the public face of a task while none of its files changes."""
    state = [avo_tui.__version__, name, str(folder)]
    package = Path(avo_tui.__file__).resolve().parent / "evaluation"
    sources = (*folder.rglob("*"), *(package / "problems").glob("*.py"), *package.glob("*.py"))
    for path in sorted(p for p in sources if "__pycache__" not in p.parts):
        try:
            facts = path.stat()
        except OSError:
            return None
        state.append(f"{path} {facts.st_size} {facts.st_mtime_ns}")
    try:
        notes = cache_folder("tasks")
    except EvaluatorError:
        return None  # without a place for notes each task is loaded
    return notes / f"{hashlib.sha256('|'.join(state).encode()).hexdigest()[:32]}.json"
