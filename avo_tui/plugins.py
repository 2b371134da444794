"""What other packages may add: one registry each for operators, backends and places to measure.

A package adds something by an entry point of the registry's group, named after it, that leads to a
descriptor. The module of a descriptor is imported whenever the registry is listed, so it must be
quick to import. What avo-tui has itself needs no entry point, and goes first.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property
from importlib import import_module, metadata
from typing import Generic, TypeVar

Offer = TypeVar("Offer")

IN_THE_CLONE: Mapping[str, Mapping[str, str]] = {
    "avo_tui.operators": {"acp": "./plugins/acp"},
    "avo_tui.backends": {
        "triton": "'./plugins/gpu_python[triton]'",
        "cute": "'./plugins/gpu_python[cute]'",
    },
    "avo_tui.evaluators": {
        "dask": "./plugins/dask",
        "dask+slurm": "'./plugins/dask[slurm]'",
    },
}
"""Group → what packages beside avo-tui add to it, with what pip installs in a clone."""


class PluginError(ValueError):
    """What was asked for is not here or does not load; the message is one sentence."""


class Registry(Generic[Offer]):
    """What there is of one kind, by name."""

    def __init__(
        self,
        group: str,
        kind: str,
        descriptor: type[Offer],
        name_of: Callable[[Offer], str],
        built_in: Mapping[str, str],
    ) -> None:
        """`kind` names it in sentences; `built_in`: name → module whose `DESCRIPTOR` it is."""
        self._group, self._kind, self._descriptor = group, kind, descriptor
        self._name_of, self._built_in = name_of, built_in

    @cached_property
    def _installed(self) -> dict[str, metadata.EntryPoint]:
        entries = metadata.entry_points(group=self._group)
        return {entry.name: entry for entry in entries if entry.name not in self._built_in}

    def names(self) -> list[str]:
        """Everything there is, what avo-tui has itself first."""
        return [*self._built_in, *sorted(self._installed)]

    def get(self, name: str) -> Offer:
        """The descriptor of that name. Raises PluginError."""
        if name in self._built_in:
            built_in: Offer = import_module(self._built_in[name]).DESCRIPTOR
            return built_in
        entry = self._installed.get(name)
        if entry is None:
            known = ", ".join(self.names())
            raise PluginError(
                self.missing().get(name) or f"there is no {self._kind} {name!r}; there is {known}"
            )
        what = f"{self._kind} {name}"
        try:
            loaded = entry.load()
        except Exception as error:  # importing a plug-in may raise anything
            why = f"{type(error).__name__}: {error}"
            raise PluginError(f"{what} ({entry.value}) does not load: {why}") from error
        if not isinstance(loaded, self._descriptor) or self._name_of(loaded) != name:
            needed = self._descriptor.__name__
            raise PluginError(f"{what}: {entry.value} is not its {needed}")
        return loaded

    def broken(self) -> list[str]:
        """Why installed plug-ins cannot be loaded, one sentence each."""
        sentences = []
        for name in self._installed:
            try:
                self.get(name)
            except PluginError as error:
                sentences.append(str(error))
        return sentences

    def missing(self) -> dict[str, str]:
        """What a package beside avo-tui would add that is not installed: its name → how to."""
        return {
            name: f"{self._kind} {name} is a package of its own, which is not installed: "
            f"pip install {where} in a clone of avo-tui"
            for name, where in IN_THE_CLONE.get(self._group, {}).items()
            if name not in self._installed
        }
