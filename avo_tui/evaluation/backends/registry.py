"""The registry of backends: those of this package and installed plug-ins."""

from __future__ import annotations

from avo_tui.evaluation.backends.base import Backend
from avo_tui.evaluation.backends.descriptor import BackendDescriptor, BackendOptions
from avo_tui.evaluation.ports import EvaluatorError
from avo_tui.plugins import PluginError, Registry

BACKENDS = Registry(
    "avo_tui.backends",
    "backend for the language",
    BackendDescriptor,
    lambda backend: backend.language,
    {
        "cpp": "avo_tui.evaluation.backends.cpp.descriptor",
        "c": "avo_tui.evaluation.backends.c",
        "rust": "avo_tui.evaluation.backends.rust",
        "cuda": "avo_tui.evaluation.backends.cuda.descriptor",
        "repository": "avo_tui.evaluation.backends.command.descriptor",
    },
)


def descriptor(language: str) -> BackendDescriptor:
    """What the backend of a language says about itself. Raises EvaluatorError with a sentence."""
    try:
        return BACKENDS.get(language)
    except PluginError as error:
        raise EvaluatorError(str(error)) from error


def make_backend(language: str, options: BackendOptions) -> Backend:
    """The backend of a language; no other is imported.

    Raises EvaluatorError where there is none, it does not load, or the options cannot be met.
    """
    chosen = descriptor(language)
    try:
        return chosen.make(options)
    except ValueError as error:
        raise EvaluatorError(str(error)) from error
