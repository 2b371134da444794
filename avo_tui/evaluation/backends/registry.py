"""The registry of backends: those of this package and installed plug-ins."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from importlib import import_module, metadata

from avo_tui.evaluation.backends.base import Backend
from avo_tui.evaluation.backends.descriptor import GROUP, BackendDescriptor, BackendOptions
from avo_tui.evaluation.ports import EvaluatorError

BUILT_IN: Mapping[str, str] = {
    "cpp": "avo_tui.evaluation.backends.cpp.descriptor",
    "c": "avo_tui.evaluation.backends.c",
    "rust": "avo_tui.evaluation.backends.rust",
    "cuda": "avo_tui.evaluation.backends.cuda.descriptor",
    "cute": "avo_tui.evaluation.backends.cute.language",
    "triton": "avo_tui.evaluation.backends.triton.language",
    "repository": "avo_tui.evaluation.backends.command.descriptor",
}
"""Language → module whose `DESCRIPTOR` it is."""


@lru_cache(maxsize=1)
def _installed() -> dict[str, metadata.EntryPoint]:
    entries = metadata.entry_points(group=GROUP)
    return {entry.name: entry for entry in entries if entry.name not in BUILT_IN}


def languages() -> list[str]:
    """Every language, those of this package first."""
    return [*BUILT_IN, *sorted(_installed())]


def descriptor(language: str) -> BackendDescriptor:
    """What the backend of a language says about itself. Raises EvaluatorError with a sentence."""
    if language in BUILT_IN:
        built_in: BackendDescriptor = import_module(BUILT_IN[language]).DESCRIPTOR
        return built_in
    entry = _installed().get(language)
    if entry is None:
        known = ", ".join(languages())
        raise EvaluatorError(f"there is no backend for the language {language!r}; there is {known}")
    try:
        loaded = entry.load()
    except Exception as error:  # importing a plug-in may raise anything
        why = f"{type(error).__name__}: {error}"
        raise EvaluatorError(f"backend {language} ({entry.value}) does not load: {why}") from error
    if not isinstance(loaded, BackendDescriptor) or loaded.language != language:
        raise EvaluatorError(
            f"backend {language}: {entry.value} is not a BackendDescriptor of that language"
        )
    return loaded


def make_backend(language: str, options: BackendOptions) -> Backend:
    """The backend of a language; no other is imported.

    Raises EvaluatorError where there is none, it does not load, or the options cannot be met.
    """
    chosen = descriptor(language)
    try:
        return chosen.make(options)
    except ValueError as error:
        raise EvaluatorError(str(error)) from error
