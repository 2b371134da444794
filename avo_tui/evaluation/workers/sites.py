"""Parses the URL of an evaluator; shared by all schemes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import SplitResult


@dataclass(frozen=True)
class SiteRequest:
    """What a session asks of a site."""

    task: str
    kind: str
    """The task's device: `cuda` or `cpu`."""
    devices: tuple[str, ...] = ("",)
    """Devices as a person names them; "" means the machine's default, `all` all its devices."""
    query: Mapping[str, str] = field(default_factory=dict)
    """The query of the URL, such as `python=/opt/venv/bin/python`."""
    worker_options: tuple[str, ...] = ()
    """Arguments that each worker gets, such as `--allow-weak-sandbox`."""


def only(url: SplitResult, query: Mapping[str, str], known: set[str]) -> None:
    """Raises ValueError for a part of the query that the scheme does not know."""
    odd = sorted(set(query) - known)
    if odd:
        raise ValueError(
            f"--evaluator {url.geturl()}: {url.scheme} knows no {odd[0]!r}; it knows "
            f"{', '.join(sorted(known))}"
        )
