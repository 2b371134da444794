"""A task from a reference: `avo task from FILE`, and `avo run --reference FILE`."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from typer import BadParameter

from avo_tui.cli.errors import Failure
from avo_tui.cli.opening import require_torch
from avo_tui.cli.terminal import tell
from avo_tui.evaluation.measurement.cases import counted
from avo_tui.evaluation.references.adopting import adopt as write
from avo_tui.evaluation.references.adopting import wishes_for
from avo_tui.evaluation.references.files import gather, problem_name
from avo_tui.evaluation.references.spec import SOURCE, ReferenceSpec
from avo_tui.evaluation.references.task import reference_cases
from avo_tui.evaluation.roots import own_root
from avo_tui.evaluation.sandbox.run import Sandbox
from avo_tui.settings import settings


@dataclass(frozen=True)
class Wanted:
    """What a person asks of a task made from a reference."""

    language: str
    sizes: Sequence[str] = ()
    """NAME=NUMBER each."""
    full_size: bool = False
    evaluation_mode: bool = False
    compiled: bool = False
    """Also time torch.compile."""


def adopt(
    file: Path, name: str | None, wanted: Wanted, to: Path | None = None
) -> tuple[str, ReferenceSpec]:
    """(name of the task, what was derived). An equal task that is there already is used.

    Raises Failure and EvaluatorError with one sentence.
    """
    root = to or own_root()
    base = name or re.sub(r"[^A-Za-z0-9._-]+", "_", problem_name(file)).strip("._-") or "reference"
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", base):
        raise Failure(f"{base!r} is no name for a task: up to 64 letters, digits, dots, dashes")
    chosen = _sizes(wanted.sizes)
    text, _ = gather(file)
    for number in count(1):
        task = base if number == 1 else f"{base}-{number}"
        wishes = wishes_for(
            task, wanted.language, str(file), sizes=chosen, full_size=wanted.full_size,
            evaluation_mode=wanted.evaluation_mode, compiled=wanted.compiled,
        )  # fmt: skip
        folder = root / task
        if not folder.exists():
            break
        if not wanted.sizes and (folder / SOURCE).is_file():
            known = ReferenceSpec.read(folder)
            same = (folder / SOURCE).read_text(encoding="utf-8") == text
            asked = (wanted.language, wanted.compiled)
            if same and (known.language, known.compiled) == asked:
                return task, known
        if name is not None:
            raise Failure(f"there is a task {name} at {folder} already; choose another --name")
    require_torch(wanted.language)
    tell(f"reading {file} in the sandbox")
    sandbox = Sandbox(settings().allow_weak_sandbox)
    return task, write(file, folder, wishes, sandbox, lambda what: tell(f"looking at {what}"))


def derived_lines(task: str, spec: ReferenceSpec) -> list[str]:
    """What was derived, in one line, and what the person should know of it, a line each."""
    notes = [f"note: {remark}" for remark in (*spec.remarks, *spec.modes)]
    return [f"task {task}: {_sentence(spec)}", *notes]


def _sentence(spec: ReferenceSpec) -> str:
    parts = [(role, len(spec.of_role(role))) for role in ("input", "weight", "output")]
    parts.append(("kind", len(spec.distributions)))
    *roles, kinds = [f"{number} {word}{'' if number == 1 else 's'}" for word, number in parts]
    axes = f"{', '.join(spec.axes)} may vary" if spec.axes else "no size varies"
    flops = spec.scored[0].flops
    operations = "1 operation" if flops == 1 else f"{flops:.3g} operations"
    return (
        f"{', '.join(roles)}; {axes}; {counted(reference_cases(spec))}; {kinds} of values; "
        f"{operations}, {spec.scored[0].bytes / 1e6:.3g} MB a run"
    )


def _sizes(words: Sequence[str]) -> dict[str, int]:
    sizes = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not equals or not value.isdigit() or int(value) < 1:
            raise BadParameter(f"{word!r} is not NAME=NUMBER", param_hint="--set")
        sizes[key] = int(value)
    return sizes
