"""The options of a run that the person may change, and the values they accept."""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping, Sequence

from pydantic import ValidationError

from avo_tui.domain import stall_rules
from avo_tui.domain.run_settings import OptionValue, RunSettings
from avo_tui.domain.secrets import redact
from avo_tui.operators import registry
from avo_tui.operators.descriptor import OptionInfo

PATIENCE_OPTION = "disk.patience_hours"
PATIENCE_HOURS = 168.0
"""Default hours to wait for the disk: one week, so that a run survives a holiday."""

COUNTS = {
    "audit.every": (40, "Evaluations between two audits of head and best; 0 is never."),
    "troubles": (3, "Steps that fail in a row before the run pauses; 0 is never."),
    "crash_loop": (
        5,
        "Engines in a row that end unexpectedly, without progress, before the run pauses;"
        " 0 is never.",
    ),
}
"""Options that are whole numbers: default and meaning."""


def known_options(settings: RunSettings) -> Sequence[OptionInfo]:
    """The options of a run, its operator's first. Raises ValueError if the operator is missing."""
    return (
        *registry.descriptor(settings.operator).options(),
        *_supervisor_options(settings),
        OptionInfo(
            PATIENCE_OPTION,
            f"{PATIENCE_HOURS:g}",
            "Hours that the run waits for a disk that is full, read-only or away before it stops.",
        ),
        *(OptionInfo(name, str(default), text) for name, (default, text) in COUNTS.items()),
    )


def changed_settings(
    settings: RunSettings, changes: Mapping[str, OptionValue | None]
) -> RunSettings:
    """The settings with these options changed; None restores the default.

    Raises ValueError, with one sentence, for an unknown option or an invalid value.
    """
    known = [option.name for option in known_options(settings)]
    for name, value in changes.items():
        if name not in known:
            raise ValueError(_unknown(name, known, settings.operator))
        if value is not None and redact(str(value)) != str(value):
            raise ValueError(
                f"the value of {name} looks like a key, and options are written into the session;"
                " keep keys in the environment, or in a file that api_key_file names"
            )
    new = settings.with_options(changes)
    registry.descriptor(settings.operator).check(new)
    _check_supervisor(new)
    disk_patience(new)
    for name in COUNTS:
        count(new, name)
    return new


def _check_supervisor(settings: RunSettings) -> None:
    try:
        limits = stall_rules.limits(settings)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        name = ".".join(str(part) for part in first["loc"])
        raise ValueError(f"option {stall_rules.OPTION}{name}: {first['msg']}.") from None
    for name, value in limits.model_dump().items():
        if not math.isfinite(value):
            raise ValueError(f"option {stall_rules.OPTION}{name}: {value} is not a finite number.")


def _supervisor_options(settings: RunSettings) -> Sequence[OptionInfo]:
    traits = settings.operator_traits
    if not traits.ladder:
        return ()
    defaults = stall_rules.Thresholds(attempts=traits.stall_attempts)
    return [
        OptionInfo(
            f"{stall_rules.OPTION}{name}",
            f"{getattr(defaults, name):g}",
            f"The supervisor intervenes at this limit of: {_phrase(field.description or '')}"
            " 0 switches the rule off.",
        )
        for name, field in stall_rules.Thresholds.model_fields.items()
    ]


def _phrase(text: str) -> str:
    """A docstring in one line, to go on within a sentence."""
    joined = " ".join(text.split())
    return joined[:1].lower() + joined[1:]


def disk_patience(settings: RunSettings) -> float:
    """Seconds to wait for a disk that refuses writes. Raises ValueError for an invalid option
    value."""
    value = settings.options.get(PATIENCE_OPTION, PATIENCE_HOURS)
    try:
        hours = float(value)
    except ValueError:
        hours = -1.0
    if isinstance(value, bool) or not hours >= 0:
        raise ValueError(f"{PATIENCE_OPTION} must be a number of hours, 0 or more, not {value!r}")
    return hours * 3600


def count(settings: RunSettings, name: str) -> int:
    """The value of an option of `COUNTS`. Raises ValueError for one that is no whole number."""
    value = settings.options.get(name, COUNTS[name][0])
    if isinstance(value, bool) or not str(value).isascii() or not str(value).isdecimal():
        raise ValueError(f"{name} must be a whole number, 0 or more, not {value!r}")
    return int(value)


def _unknown(name: str, known: Sequence[str], operator: str) -> str:
    near = difflib.get_close_matches(name, known, n=1)
    if not near:
        near = [k for k in known if k.rpartition(".")[2] == name.rpartition(".")[2]][:1]
    hint = f"did you mean {near[0]}?" if near else "`avo set NAME` lists those there are"
    return f"there is no option {name!r} in a run by the {operator}; {hint}"
