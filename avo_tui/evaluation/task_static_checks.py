"""Finds errors in a task's own code; each is one sentence with file and line.

`require` checks everything that can be seen without tensors, whenever a task is loaded.
`evaluation.task_dynamic_checks` runs the methods that make tensors.
"""

from __future__ import annotations

import ast
import keyword
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from avo_tui.domain.task import Configuration
from avo_tui.evaluation.measurement.cases import CheckCase
from avo_tui.evaluation.measurement.judge import Tolerance
from avo_tui.evaluation.ports import EvaluatorError
from avo_tui.evaluation.task import Argument, Task

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
_RESERVED = frozenset(_WORDS.split())
"""Words of C++ that no parameter can be called."""


@dataclass(frozen=True)
class Fault:
    """One error in a task."""

    attribute: str
    """The attribute or method of the task that it is about; empty for the class."""
    sentence: str
    line: int | None = None
    """In the task's file, where it is known better than by the attribute."""
    file: Path | None = None
    """Where `line` is, if not in `task.py`: another file of the task's own."""
    in_all_cases: bool = False
    """True for what is an error only where every case that could show it does."""

    def text(self, task: Task) -> str:
        """The sentence, after the file and the line."""
        path = self.file or task.folder / "task.py"
        line = self.line or line_of(path, type(task).__name__, self.attribute)
        where = f" (line {line})" if line else ""
        return f"{path}{where}: {self.sentence}"


def require(task: Task) -> None:
    """Raises EvaluatorError with the first fault that can be seen without making a tensor."""
    for fault in faults(task):
        raise EvaluatorError(fault.text(task))


def faults(task: Task) -> Iterator[Fault]:
    """Everything that is wrong as far as it can be seen without making a tensor."""
    yield from _named(task)
    yield from _attributes(task)
    yield from _seed(task)
    configurations, broken = called(task, "configurations", lambda: task.configurations)
    yield from broken
    if not broken:
        yield from _configurations(task, configurations)
    cases, broken = called(task, "check_cases", task.check_cases)
    yield from broken
    if not broken:
        yield from _cases(task, cases)


def called(task: Task, attribute: str, call: Callable[[], Any]) -> tuple[Any, list[Fault]]:
    """(what a method of the task returns, no fault), or (None, the fault that it raised)."""
    try:
        return call(), []
    except Exception as error:  # a task is the user's code: anything may come
        file, line = raised_at(error, task)
        sentence = f"{attribute} raises {type(error).__name__}: {one_line(error)}"
        return None, [Fault(attribute, sentence, line, file)]


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


def line_in(error: BaseException, path: Path) -> int | None:
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


def _named(task: Task) -> Iterator[Fault]:
    for attribute in _TEXTS:
        value = getattr(task, attribute, None)
        if value is None:
            yield Fault(attribute, f"the class does not set {attribute}, a text")
        elif not isinstance(value, str):
            yield Fault(attribute, f"{attribute} is {_kind(value)}; it must be a text")
        elif not value.strip():
            yield Fault(attribute, f"{attribute} is empty")
    if isinstance(getattr(task, "name", None), str) and task.name != task.folder.name:
        yield Fault("name", f"the task calls itself {task.name!r}, not {task.folder.name!r}")
    if not _NAME.match(task.folder.name):
        yield Fault("name", "a task's name has up to 64 letters, digits, dots, dashes, underscores")


def _attributes(task: Task) -> Iterator[Fault]:
    if isinstance(task.unit, str):
        try:
            _ = task.metric
        except ValueError as error:
            yield Fault("unit", str(error))
    names = getattr(task, "baseline_names", None)
    if not _is_texts(names):
        yield Fault("baseline_names", "baseline_names must be a tuple of texts, such as ('torch',)")
    elif names is not None and getattr(task, "reference_baseline", None) not in names:
        yield Fault(
            "reference_baseline", "reference_baseline is not among baseline_names: "
            f"{getattr(task, 'reference_baseline', None)!r} is not in {names}",
        )  # fmt: skip
    if task.language == "cpp" and task.device != "cpu":
        yield Fault("device", f"device is {task.device!r}; a task in C++ runs on the device 'cpu'")
    if not _is_texts(task.timed) or not task.timed:
        yield Fault("timed", "timed must be a tuple of distributions' names, such as ('normal',)")
    if not isinstance(task.threads, int) or task.threads < 1:
        yield Fault("threads", f"threads is {task.threads!r}; it must be a whole number from 1 on")
    for attribute in ("call_seconds", "memory_bytes"):
        value = getattr(task, attribute)
        if value is not None and not (isinstance(value, int | float) and value > 0):
            yield Fault(attribute, f"{attribute} is {value!r}; it must be a positive number")
    yield from _tolerances(task)
    if task.language == "cpp":
        yield from _entry(task)


def _tolerances(task: Task) -> Iterator[Fault]:
    if not isinstance(task.tolerance, Tolerance):
        yield Fault("tolerance", f"tolerance is {_kind(task.tolerance)}; it must be a Tolerance")
    if not isinstance(task.tolerances, Mapping):
        yield Fault("tolerances", "tolerances must be a dict: output's name → Tolerance")
        return
    for name, tolerance in (("", task.tolerance), *task.tolerances.items()):
        what = f"tolerances[{name!r}]" if name else "tolerance"
        attribute = "tolerances" if name else "tolerance"
        if not isinstance(tolerance, Tolerance):
            if name:
                yield Fault(attribute, f"{what} is {_kind(tolerance)}; it must be a Tolerance")
            continue
        for part in ("factor", "floor", "rms_factor", "rms_floor", "bias"):
            value = getattr(tolerance, part)
            if not isinstance(value, int | float) or not math.isfinite(value) or value < 0:
                yield Fault(attribute, f"{what} has {part}={value!r}; it must be 0 or positive")


def _entry(task: Task) -> Iterator[Fault]:
    if not isinstance(task.entry, str) or not _IDENTIFIER.match(task.entry):
        yield Fault(
            "entry",
            f"entry is {task.entry!r}; it must name the extern \"C\" function of the kernel",
        )  # fmt: skip
    if not isinstance(task.arguments, tuple) or not all(
        isinstance(argument, Argument) for argument in task.arguments
    ):
        yield Fault("arguments", "arguments must be a tuple of Argument")
        return
    names = [argument.name for argument in task.arguments]
    if not names:
        yield Fault("arguments", "arguments is empty: the kernel would be given nothing")
    for name in names:
        if not isinstance(name, str) or not _IDENTIFIER.match(name) or name in _RESERVED:
            yield Fault("arguments", f"an argument is called {name!r}, which is no name in C++")
    for name in sorted({name for name in names if names.count(name) > 1}):
        yield Fault("arguments", f"two arguments are called {name}")
    kinds = ("input", "output", *_FROM_CONFIGURATION)
    for argument in task.arguments:
        if argument.kind not in kinds:
            yield Fault(
                "arguments",
                f"the argument {argument.name} is of kind {argument.kind!r}; there are "
                f"{', '.join(kinds)}",
            )
    if names and not any(argument.kind == "output" for argument in task.arguments):
        yield Fault("arguments", "no argument is an output: nothing could be checked")


def _seed(task: Task) -> Iterator[Fault]:
    if not task.has_seed:
        return
    folder = task.folder / "seed"
    if not folder.is_dir():
        yield Fault("", f"{task.folder} has no folder seed/ with the first candidate")
        return
    _, broken = called(task, "seed", task.seed)
    if broken:
        reason = broken[0].sentence.partition(": ")[2]
        yield Fault("seed", f"the files of {folder} are no candidate: {reason}")


def _configurations(task: Task, value: object) -> Iterator[Fault]:
    here = "configurations"
    if not isinstance(value, tuple | list) or not all(isinstance(c, Configuration) for c in value):
        yield Fault(here, f"{here} is {_kind(value)}; it must be a tuple of Configuration")
        return
    if not value:
        yield Fault(here, "the task has no configurations")
    names = [c.name for c in value]
    if len(set(names)) != len(names):
        yield Fault(here, "two configurations have the same name")
    for configuration in value:
        yield from _parameters(task, configuration, here)
        yield from _work(task, configuration)
    yield from _counted(task, value)


def _work(task: Task, configuration: Configuration) -> Iterator[Fault]:
    for attribute, call in (
        ("flops", task.flops),
        ("bytes_moved", task.bytes_moved),
        ("items", task.items),
    ):
        amount, broken = called(task, attribute, partial(call, configuration))
        yield from broken
        if broken:
            continue
        good = isinstance(amount, int | float) and math.isfinite(amount) and amount >= 0
        if not good:
            yield Fault(
                attribute,
                f"{attribute} of {configuration.name} is {amount!r}; it must be a number from 0 on",
            )  # fmt: skip


_COUNTED = {
    "flops": ("flops", "operations", "4.0 * rows * columns"),
    "bytes": ("bytes_moved", "bytes", "8.0 * rows * columns, what one run must read and write"),
    "items": ("items", "items", "the number of tokens of one run"),
}
"""What a unit counts → the method that says how much of it one run does, its word, an example."""


def _counted(task: Task, configurations: Sequence[Configuration]) -> Iterator[Fault]:
    """What `unit` counts must be said of every scored configuration: a score is divided by it."""
    try:
        quantity = task.metric.quantity
    except ValueError:  # told of the unit itself
        return
    if quantity not in _COUNTED:
        return
    method, word, example = _COUNTED[quantity]
    for configuration in configurations:
        amount, broken = called(task, method, partial(getattr(task, method), configuration))
        if not broken and amount == 0:
            yield Fault(
                method, f"the unit {task.unit!r} counts {word}, and {method} of "
                f"{configuration.name} is 0: define {method}(self, configuration) in this class, "
                f"such as {example}",
            )  # fmt: skip
            return


def _cases(task: Task, value: object) -> Iterator[Fault]:
    here = "check_cases"
    if not isinstance(value, tuple | list) or not all(isinstance(c, CheckCase) for c in value):
        yield Fault(here, f"{here} returns {_kind(value)}; it must be a tuple of CheckCase")
        return
    if not value:
        yield Fault(here, "check_cases returns no case: nothing would be checked")
    if task.all_depends_on_all and any(getattr(case, "perturb", False) for case in value):
        yield Fault(
            here, "a case has perturb=True, and all_depends_on_all says that every output may "
            "depend on every input: take one of them out",
        )  # fmt: skip
    for case in value:
        if not isinstance(case.configuration, Configuration):
            yield Fault(here, f"a case has {_kind(case.configuration)} for a Configuration")
        elif not isinstance(case.distribution, str) or not case.distribution:
            yield Fault(here, f"a case of {case.configuration.name} names no distribution")
        else:
            yield from _parameters(task, case.configuration, here)


def _parameters(task: Task, configuration: Configuration, attribute: str) -> Iterator[Fault]:
    """Arguments that are taken from a configuration must be there, and of their kind."""
    if task.language != "cpp" or not isinstance(task.arguments, tuple):
        return
    for argument in task.arguments:
        wanted = _FROM_CONFIGURATION.get(getattr(argument, "kind", ""))
        if wanted is None:
            continue
        value = configuration.parameters.get(argument.name)
        if value is None:
            yield Fault(
                attribute, f"the configuration {configuration.name} has no parameter "
                f"{argument.name}, which the argument of that name is taken from",
            )  # fmt: skip
        elif not isinstance(value, wanted) or (argument.kind == "size" and isinstance(value, bool)):
            yield Fault(
                attribute, f"the parameter {argument.name} of {configuration.name} is {value!r}; "
                f"the argument is a {argument.kind}",
            )  # fmt: skip


def _is_texts(value: object) -> bool:
    return isinstance(value, tuple) and all(isinstance(v, str) and v for v in value)


def _kind(value: object) -> str:
    kind = type(value).__name__
    return f"{'an' if kind[0] in 'aeiou' else 'a'} {kind}"


def is_parameter_name(name: str) -> bool:
    """True if a C++ function and a Python one may have a parameter of that name."""
    return bool(_IDENTIFIER.match(name)) and name not in _RESERVED and not keyword.iskeyword(name)
