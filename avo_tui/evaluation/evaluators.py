"""Which evaluator a session asks for: a scheme of its URL, or this machine.

A scheme is one line in `SCHEMES`: a module with `make_evaluator(url, options, task)`, which
returns an object that follows `avo_tui.evaluation.ports.Evaluator` or raises ValueError with one
sentence. It is imported when a session asks for it.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from urllib.parse import urlsplit

from avo_tui.domain.records import RunSettings
from avo_tui.evaluation.ports import Evaluator

LOCAL = "local"
SCHEMES: Mapping[str, str] = {LOCAL: "avo_tui.evaluation.client"}
"""Scheme of an evaluator's URL → module that makes it."""


def check_url(url: str | None) -> None:
    """Raises ValueError for an evaluator whose scheme nothing here serves."""
    _scheme(url)


def _scheme(url: str | None) -> str:
    if url is None:
        return LOCAL
    scheme = urlsplit(url).scheme or url
    if scheme not in SCHEMES:
        raise ValueError(
            f"--evaluator {url}: {scheme!r} is no scheme of an evaluator; there is "
            f"{', '.join(SCHEMES)}; leave the option out to measure on this machine"
        )
    return scheme


def make_evaluator(settings: RunSettings, task: str) -> Evaluator:
    """The evaluator of a session: this machine's, or the one its settings name by URL.

    Raises ValueError for a URL that nothing serves.
    """
    module = import_module(SCHEMES[_scheme(settings.evaluator)])
    evaluator: Evaluator = module.make_evaluator(settings.evaluator, settings.options, task)
    return evaluator
