"""Finds errors in a task's own code; each is one sentence with file and line.

`require` checks everything that can be seen without tensors, whenever a task is loaded.
`evaluation.task_dynamic_checks` runs the methods that make tensors.
"""

from __future__ import annotations

import ast
import keyword
import math
import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from avo_tui.domain.task import Configuration
from avo_tui.evaluation.measurement.cases import CheckCase
from avo_tui.evaluation.measurement.judge import Tolerance
from avo_tui.evaluation.ports import EvaluatorError
from avo_tui.evaluation.task import Argument, Task

T = TypeVar("T")
_NAME = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")
_IDENTIFIER = re.compile(r"^[A-Za-z_][A-Za-z0-9_]*$")
_FROM_CONFIGURATION: Mapping[str, tuple[type, ...]] = {
    "size": (int,),
    "flag": (bool,),
    "real": (int, float),
}
"""Kind of a C++ argument → what the configuration's parameter of that name may be."""
_WORDS = (
    "auto bool break case catch char class const continue default delete do double else enum "
    "explicit export extern false float for friend goto if inline int long namespace new operator "
    "private protected public register return short signed sizeof static struct switch template "
    "this throw true try typedef typename union unsigned using virtual void volatile while"
)
CPP_WORDS = frozenset(_WORDS.split())
"""Words of C++ that no parameter can be called."""


class Fault(Exception):  # noqa: N818
    """One error in a task; the text is one sentence."""

    def __init__(
        self,
        attribute: str,
        sentence: str,
        line: int | None = None,
        file: Path | None = None,
        *,
        in_all_cases: bool = False,
    ) -> None:
        """`attribute`: the attribute or method that it is about; empty for the class. `line` and
        `file`: where it is known better than by the attribute, in `task.py` or another file of the
        task's own. `in_all_cases`: an error only where every case that could show it does."""
        super().__init__(sentence)
        self.attribute, self.sentence = attribute, sentence
        self.line, self.file = line, file
        self.in_all_cases = in_all_cases

    def text(self, task: Task) -> str:
        """The sentence, after the file and the line."""
        path = self.file or task.folder / "task.py"
        line = self.line or line_of(path, type(task).__name__, self.attribute)
        where = f" (line {line})" if line else ""
        return f"{path}{where}: {self.sentence}"


def require(task: Task) -> None:
    """Raises EvaluatorError with the first fault that can be seen without making a tensor."""
    try:
        _texts(task)
        _attributes(task)
        _tolerances(task)
        if task.language == "cpp":
            _entry(task)
        _seed(task)
        _configurations(task, called("configurations", task, lambda: task.configurations))
        _cases(task, called("check_cases", task, task.check_cases))
    except Fault as fault:
        raise EvaluatorError(fault.text(task)) from fault


def called(attribute: str, task: Task, call: Callable[[], T]) -> T:
    """What a method of the task returns; the fault that it raised is raised as one."""
    try:
        return call()
    except Exception as error:  # a task is the user's code: anything may come
        file, line = raised_at(error, task)
        sentence = f"{attribute} raises {type(error).__name__}: {one_line(error)}"
        raise Fault(attribute, sentence, line, file) from error


def raised_at(error: BaseException, task: Task) -> tuple[Path | None, int | None]:
    """(one of the task's own files, the last line of it that the error passed through).

    `task.py` where it passed through that, too; (None, None) where it passed through none.
    """
    for path in (task.folder / "task.py", *task.own_files()):
        line = line_in(error, path)
        if line is not None:
            return path, line
    return None, None


def one_line(error: BaseException) -> str:
    """The first 300 characters of an error's text, in one line."""
    return " ".join(str(error).split())[:300]


def line_in(error: BaseException, path: Path | str) -> int | None:
    """The last line of the file that the error passed through; None if it passed through none."""
    line, trace = None, error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == str(path):
            line = trace.tb_lineno
        trace = trace.tb_next
    return line


def line_of(path: Path, kind: str, attribute: str) -> int | None:
    """The line where a class sets an attribute or begins a method, or else begins itself."""
    try:
        tree = ast.parse(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, SyntaxError):
        return None
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef) and node.name == kind:
            return _lines(node).get(attribute, node.lineno)
    return None


def _lines(node: ast.ClassDef) -> dict[str, int]:
    lines: dict[str, int] = {}
    for item in node.body:
        if isinstance(item, ast.FunctionDef | ast.AsyncFunctionDef):
            lines[item.name] = item.lineno
        elif isinstance(item, ast.Assign):
            lines.update({t.id: item.lineno for t in item.targets if isinstance(t, ast.Name)})
        elif isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name):
            lines[item.target.id] = item.lineno
    return lines


_TEXTS = ("name", "title", "language", "description", "unit", "device", "reference_baseline")


def _texts(task: Task) -> None:
    for attribute in _TEXTS:
        value = getattr(task, attribute, None)
        if value is None:
            raise Fault(attribute, f"the class does not set {attribute}, a text")
        if not isinstance(value, str):
            raise Fault(attribute, f"{attribute} is {_kind(value)}; it must be a text")
        if not value.strip():
            raise Fault(attribute, f"{attribute} is empty")
    if task.name != task.folder.name:
        raise Fault("name", f"the task calls itself {task.name!r}, not {task.folder.name!r}")
    if not _NAME.match(task.folder.name):
        raise Fault("name", "a task's name has up to 64 letters, digits, dots, dashes, underscores")


def _attributes(task: Task) -> None:
    try:
        _ = task.metric
    except ValueError as error:
        raise Fault("unit", str(error)) from error
    names = getattr(task, "baseline_names", None)
    if not _is_texts(names):
        raise Fault("baseline_names", "baseline_names must be a tuple of texts, such as ('torch',)")
    if task.reference_baseline not in task.baseline_names:
        raise Fault(
            "reference_baseline", "reference_baseline is not among baseline_names: "
            f"{task.reference_baseline!r} is not in {names}",
        )  # fmt: skip
    if task.language == "cpp" and task.device != "cpu":
        raise Fault("device", f"device is {task.device!r}; a task in C++ runs on the device 'cpu'")
    if not _is_texts(task.timed) or not task.timed:
        raise Fault("timed", "timed must be a tuple of distributions' names, such as ('normal',)")
    if not isinstance(task.threads, int) or task.threads < 1:
        raise Fault("threads", f"threads is {task.threads!r}; it must be a whole number from 1 on")
    for attribute in ("call_seconds", "memory_bytes", "max_error_ratio", "least_breadth"):
        value = getattr(task, attribute)
        if value is not None and not (isinstance(value, int | float) and value > 0):
            raise Fault(attribute, f"{attribute} is {value!r}; it must be a positive number")


def _tolerances(task: Task) -> None:
    if not isinstance(task.tolerances, Mapping):
        raise Fault("tolerances", "tolerances must be a dict: output's name → Tolerance")
    named = {f"tolerances[{name!r}]": one for name, one in task.tolerances.items()}
    for what, tolerance in {"tolerance": task.tolerance, **named}.items():
        attribute = what.partition("[")[0]
        if not isinstance(tolerance, Tolerance):
            raise Fault(attribute, f"{what} is {_kind(tolerance)}; it must be a Tolerance")
        for part in ("factor", "floor", "rms_factor", "rms_floor", "bias"):
            value = getattr(tolerance, part)
            if not _is_amount(value):
                raise Fault(attribute, f"{what} has {part}={value!r}; it must be 0 or positive")


def _entry(task: Task) -> None:
    if not isinstance(task.entry, str) or not _IDENTIFIER.match(task.entry):
        raise Fault(
            "entry",
            f"entry is {task.entry!r}; it must name the extern \"C\" function of the kernel",
        )  # fmt: skip
    here = "arguments"
    if not _all_are(task.arguments, tuple, Argument):
        raise Fault(here, "arguments must be a tuple of Argument")
    if not task.arguments:
        raise Fault(here, "arguments is empty: the kernel would be given nothing")
    kinds, names = ("input", "output", *_FROM_CONFIGURATION), set()
    for argument in task.arguments:
        name, kind = argument.name, argument.kind
        if not isinstance(name, str) or not _IDENTIFIER.match(name) or name in CPP_WORDS:
            raise Fault(here, f"an argument is called {name!r}, which is no name in C++")
        if name in names:
            raise Fault(here, f"two arguments are called {name}")
        if kind not in kinds:
            words = f"the argument {name} is of kind {kind!r}; there are {', '.join(kinds)}"
            raise Fault(here, words)
        names.add(name)
    if not any(argument.kind == "output" for argument in task.arguments):
        raise Fault(here, "no argument is an output: nothing could be checked")


def _seed(task: Task) -> None:
    if not task.has_seed:
        return
    folder = task.folder / "seed"
    if not folder.is_dir():
        raise Fault("", f"{task.folder} has no folder seed/ with the first candidate")
    try:
        called("seed", task, task.seed)
    except Fault as fault:
        reason = fault.sentence.partition(": ")[2]
        words = f"the files of {folder} are no candidate: {reason}"
        raise Fault("seed", words) from fault


_COUNTED = {
    "flops": ("flops", "operations", "4.0 * rows * columns"),
    "bytes": ("bytes_moved", "bytes", "8.0 * rows * columns, what one run must read and write"),
    "items": ("items", "items", "the number of tokens of one run"),
}
"""What a unit counts → the method that says how much of it one run does, its word, an example."""


def _configurations(task: Task, value: Sequence[Configuration]) -> None:
    here = "configurations"
    if not _all_are(value, tuple | list, Configuration):
        raise Fault(here, f"{here} is {_kind(value)}; it must be a tuple of Configuration")
    if not value:
        raise Fault(here, "the task has no configurations")
    if len({c.name for c in value}) != len(value):
        raise Fault(here, "two configurations have the same name")
    # a score is divided by what the unit counts
    counted, word, example = _COUNTED.get(task.metric.quantity, ("", "", ""))
    for configuration in value:
        _parameters(task, configuration, here)
        for method in ("flops", "bytes_moved", "items"):
            amount = called(method, task, partial(getattr(task, method), configuration))
            about = f"{method} of {configuration.name} is"
            if not _is_amount(amount):
                raise Fault(method, f"{about} {amount!r}; it must be a number from 0 on")
            if method == counted and amount == 0:
                raise Fault(
                    method,
                    f"the unit {task.unit!r} counts {word}, and {method} of {configuration.name} "
                    f"is 0: define {method}(self, configuration) in this class, such as {example}",
                )


def _cases(task: Task, value: Sequence[CheckCase]) -> None:
    here = "check_cases"
    if not _all_are(value, tuple | list, CheckCase):
        raise Fault(here, f"{here} returns {_kind(value)}; it must be a tuple of CheckCase")
    if not value:
        raise Fault(here, "check_cases returns no case: nothing would be checked")
    if task.all_depends_on_all and any(case.perturb for case in value):
        raise Fault(
            here, "a case has perturb=True, and all_depends_on_all says that every output may "
            "depend on every input: take one of them out",
        )  # fmt: skip
    for case in value:
        if not isinstance(case.configuration, Configuration):
            raise Fault(here, f"a case has {_kind(case.configuration)} for a Configuration")
        if not isinstance(case.distribution, str) or not case.distribution:
            raise Fault(here, f"a case of {case.configuration.name} names no distribution")
        _parameters(task, case.configuration, here)


def _parameters(task: Task, configuration: Configuration, attribute: str) -> None:
    """Arguments that are taken from a configuration must be there, and of their kind."""
    for argument in task.arguments if task.language == "cpp" else ():
        wanted = _FROM_CONFIGURATION.get(argument.kind)
        if wanted is None:
            continue
        value = configuration.parameters.get(argument.name)
        if value is None:
            raise Fault(
                attribute, f"the configuration {configuration.name} has no parameter "
                f"{argument.name}, which the argument of that name is taken from",
            )  # fmt: skip
        if not isinstance(value, wanted) or (argument.kind == "size" and isinstance(value, bool)):
            raise Fault(
                attribute, f"the parameter {argument.name} of {configuration.name} is {value!r}; "
                f"the argument is a {argument.kind}",
            )  # fmt: skip


def _is_amount(value: object) -> bool:
    return isinstance(value, int | float) and math.isfinite(value) and value >= 0


def _all_are(value: object, kind: Any, part: type) -> bool:
    return isinstance(value, kind) and all(isinstance(one, part) for one in value)


def _is_texts(value: Any) -> bool:
    return _all_are(value, tuple, str) and all(value)


def _kind(value: object) -> str:
    kind = type(value).__name__
    return f"{'an' if kind[0] in 'aeiou' else 'a'} {kind}"


def is_parameter_name(name: str) -> bool:
    """True if a C++ function and a Python one may have a parameter of that name."""
    return bool(_IDENTIFIER.match(name)) and name not in CPP_WORDS and not keyword.iskeyword(name)
