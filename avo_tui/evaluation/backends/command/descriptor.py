"""The descriptor of the backend for repositories."""

from __future__ import annotations

import shutil
from collections.abc import Sequence

from avo_tui.evaluation.backends.base import Backend
from avo_tui.evaluation.backends.descriptor import BackendDescriptor, BackendOptions
from avo_tui.evaluation.finding import Finding


def _make(options: BackendOptions) -> Backend:
    from avo_tui.evaluation.backends.command.backend import CommandBackend

    return CommandBackend()


def _examine() -> Sequence[Finding]:
    git = shutil.which("git")
    told = "commits can be a base" if git else "a base is a copy of the folder; install git"
    return [Finding(name="repositories", state="ok" if git else "warn", text=told)]


DESCRIPTOR = BackendDescriptor(
    language="repository",
    label="a repository of yours, built, tested and measured by its own commands",
    make=_make,
    examine=_examine,
)
