"""Parts of the toolbox that a run does without, so that their worth can be measured."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import ClassVar

from pydantic import field_validator

from avo_tui.domain.run_settings import RunSettings
from avo_tui.operators.settings import OperatorSettings

PARTS: Mapping[str, str] = {
    "knowledge": "the knowledge base",
    "memory": "the memory",
    "timing": "timing of anything but evaluations",
    "extras": "all tools but those that every step needs",
}
"""What can be switched off, and how it is called in a sentence."""

KERNEL = "kernel"
"""The part that a run about a repository does without: what only one kernel has a use for."""

REPOSITORY_OPTION = "toolbox.repository"
"""The option that a session about a repository is made with."""


class ToolboxSettings(OperatorSettings):
    """The options `toolbox.…` of a run."""

    prefix: ClassVar[str] = "toolbox."
    who: ClassVar[str] = "the toolbox"

    without: str = ""
    """Parts that the agent does without, from its next step on: `knowledge`, `memory`, `timing` (so
    that only what the budget counts is measured), `extras` (all but the tools that every step
    needs, with a short prompt: for weak and local models), or several with commas between them.
    Their tools do not exist for it, and the opening shows nothing of them."""

    repository: bool = False
    """Whether the task is a repository: its tools are there, and those for one kernel are not."""

    unlisted: ClassVar[frozenset[str]] = frozenset({"repository"})

    @field_validator("without")
    @classmethod
    def _known(cls, value: str) -> str:
        unknown = [part for part in _split(value) if part not in PARTS]
        if unknown:
            raise ValueError(f"there is no part {unknown[0]!r}; the parts are {', '.join(PARTS)}")
        return value

    @property
    def parts(self) -> frozenset[str]:
        """The parts that are switched off, and those that the task has no use for."""
        return frozenset([*_split(self.without), *([KERNEL] if self.repository else [])])


def parts_off(settings: RunSettings) -> frozenset[str]:
    """The parts that a run does without. Raises ValueError for an invalid option."""
    return ToolboxSettings.of(settings).parts


def off_text(parts: frozenset[str]) -> str:
    """A sentence for the agent on what it does without; empty where nothing is switched off."""
    phrases = [phrase for part, phrase in PARTS.items() if part in parts]
    if not phrases:
        return ""
    *others, last = phrases
    names = f"{', '.join(others)} and {last}" if others else last
    return f"Switched off in this run: {names}. Where other texts speak of it, do without."


_PASSAGE = re.compile(r"\[\[(no )?(\w+): ((?:(?!\[\[).)*?)\]\]", re.DOTALL)
"""An innermost passage: one may stand within another."""


def fitting(text: str, parts: frozenset[str]) -> str:
    """A text of ours without its passages about what is switched off.

    `[[timing: …]]` stays where timing is there, `[[no timing: …]]` where it is switched off.
    """
    while (
        left := _PASSAGE.sub(lambda m: m[3] if bool(m[1]) == (m[2] in parts) else "", text)
    ) != text:
        text = left
    return text


def _split(value: str) -> list[str]:
    return [part.strip() for part in value.split(",") if part.strip()]
