"""Base class for an operator's settings, read from options of a run such as `tuner.attempts`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Self

from pydantic import ConfigDict, ValidationError

from avo_tui.domain.base import Value
from avo_tui.domain.run_settings import RunSettings
from avo_tui.operators.descriptor import OptionInfo


class OperatorSettings(Value):
    """The settings of one operator: one field with a docstring for each option."""

    model_config = ConfigDict(allow_inf_nan=False, use_attribute_docstrings=True)

    prefix: ClassVar[str]
    """Prefix of the option names, including the dot: `tuner.`."""
    who: ClassVar[str]
    """Name of the operator within a sentence, such as `the tuner`."""
    unlisted: ClassVar[frozenset[str]] = frozenset()
    """Fields that `avo set` does not offer."""

    @classmethod
    def listed(cls) -> tuple[OptionInfo, ...]:
        """The options that a person may set, for `avo set`."""
        return tuple(
            OptionInfo(
                f"{cls.prefix}{name}",
                _text(field.default),
                " ".join((field.description or "").split()),
            )
            for name, field in cls.model_fields.items()
            if name not in cls.unlisted
        )

    @classmethod
    def of(cls, settings: RunSettings) -> Self:
        """The operator's part of the run's settings; other options are ignored.

        Raises ValueError, with one sentence that names the option.
        """
        return cls.checked(
            {
                name.removeprefix(cls.prefix): value
                for name, value in settings.options.items()
                if name.startswith(cls.prefix)
            }
        )

    @classmethod
    def checked(cls, options: Mapping[str, Any]) -> Self:
        """The settings with these values, by field name. Raises ValueError with one sentence."""
        for name in options:
            if name not in cls.model_fields:
                known = ", ".join(option.name for option in cls.listed())
                raise ValueError(f"{cls.who} has no option {name!r}; it has {known}.")
        try:
            return cls.model_validate(dict(options))
        except ValidationError as error:
            first = error.errors()[0]
            name = ".".join(str(p) for p in first["loc"])
            empty = first["type"] == "string_pattern_mismatch"
            what = "It must not be empty" if empty else first["msg"].removeprefix("Value error, ")
            raise ValueError(f"option {cls.prefix}{name}: {what}.") from None


def _text(default: object) -> str:
    """A default as a person would write it."""
    if default is None:
        return ""
    if isinstance(default, bool):
        return str(default).lower()
    return f"{default:g}" if isinstance(default, float) else str(default)
