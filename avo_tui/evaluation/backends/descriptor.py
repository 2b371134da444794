"""The descriptor of a backend: the interface of a plug-in.

A package offers a backend by an entry point in the group `avo_tui.backends` whose name is the
language and that names a `BackendDescriptor`. The module of the descriptor is imported whenever
backends are listed, so it must be quick to import; `make` imports the compiler, torch or a driver.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from avo_tui.evaluation.backends.base import Backend
from avo_tui.evaluation.finding import Finding


@dataclass(frozen=True)
class BackendOptions:
    """What a person may ask of a backend."""

    architecture: str | None = None
    """What to compile for instead of the device's own, such as `sm_100a`."""


def _no_findings() -> Sequence[Finding]:
    return ()


def _unchanged(description: str) -> str:
    return description


@dataclass(frozen=True)
class BackendDescriptor:
    """One backend: compiles, checks and times the candidates of one language."""

    language: str
    """Value of `language` in tasks: lower-case letters, digits, `_` and `-`."""
    label: str
    """One line: what it compiles with and where it runs."""
    make: Callable[[BackendOptions], Backend]
    """Called in the evaluation's worker process, once. Raises ValueError with one sentence where
    the options cannot be met; a machine that lacks a device or a compiler is no error yet: the
    backend's methods say so by their verdicts and by EvaluatorError."""
    suffixes: tuple[str, ...] = ()
    """What the names of its sources end in, such as `.cu`."""
    dtypes: tuple[str, ...] = ()
    """Element types of tensors that it can pass to a candidate, by torch's names."""
    cross_compiles: bool = False
    """Whether `BackendOptions.architecture` means something to it."""
    examine: Callable[[], Sequence[Finding]] = _no_findings
    """What `avo doctor` says about it: is there a compiler, is there a device. May take seconds;
    whatever it raises is shown as a failure of the check."""
    describe: Callable[[str], str] = _unchanged
    """The description of a task that was written for another language, for this one."""
