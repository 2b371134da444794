"""Whether a task's language is one that a backend compiles, and its seed in that language."""

from __future__ import annotations

from avo_tui.evaluation.backends import registry
from avo_tui.evaluation.ports import EvaluatorError
from avo_tui.evaluation.soundness import Fault
from avo_tui.evaluation.task import Task


def require_language(task: Task) -> None:
    """Raises EvaluatorError, with file and line, where nothing compiles the task's seed."""
    try:
        suffixes = registry.descriptor(task.language).suffixes
    except EvaluatorError as error:
        raise EvaluatorError(Fault("language", str(error)).text(task)) from error
    if suffixes and not any(name.endswith(suffixes) for name in task.seed().files):
        fault = Fault(
            "seed",
            f"{task.folder / 'seed'} has no file that ends in {' or '.join(suffixes)}, as "
            f"{task.language} candidates do",
        )
        raise EvaluatorError(fault.text(task))
