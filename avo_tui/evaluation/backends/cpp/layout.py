"""Lays the tensors of one call out in the shared arenas and binds them."""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from avo_tui.domain.task import Configuration
from avo_tui.evaluation.backends.cpp.arenas import Arena, Place, place
from avo_tui.evaluation.pool import fresh_seed
from avo_tui.evaluation.task import Task

if TYPE_CHECKING:
    import torch

    from avo_tui.evaluation.task import Tensors


_SLOTS = 2
"""Number of alternative positions for the tensors of a call in the candidate's memory."""


@dataclass(frozen=True)
class Slot:
    """One set of arguments in shared memory, for one configuration."""

    number: int
    arguments: tuple[str, ...]
    """Arguments of the `bind` command."""
    inputs: dict[str, Place]
    outputs: dict[str, Place]


def input_shapes(
    task: Task, configuration: Configuration, example: Tensors
) -> dict[str, tuple[tuple[int, ...], str]]:
    """Input → (shape, dtype), from an example."""
    return {
        name: (tuple(t.shape), str(t.dtype).removeprefix("torch.")) for name, t in example.items()
    }


def lay_out(
    task: Task,
    configuration: Configuration,
    inputs: dict[str, tuple[tuple[int, ...], str]],
    number: int,
    input_base: int,
    output_base: int,
) -> Slot:
    """Places the tensors from the two offsets on."""
    outputs = task.outputs(configuration)
    words: list[str] = []
    places: tuple[dict[str, Place], dict[str, Place]] = ({}, {})
    for argument in task.arguments:
        if argument.kind == "input":
            spot = place(argument.name, *inputs[argument.name], input_base)
            places[0][argument.name] = spot
            input_base += spot.pages_bytes
            words.append(spot.argument("i"))
        elif argument.kind == "output":
            spot = place(argument.name, *outputs[argument.name], output_base)
            places[1][argument.name] = spot
            output_base += spot.pages_bytes
            words.append(spot.argument("o"))
        else:
            value = configuration.parameters[argument.name]
            real = argument.kind == "real"
            words.append(f"r:{float(value)!r}" if real else f"v:{int(value)}")
    return Slot(number, tuple(words), *places)


class Layouts:
    """The positions of the tensors of every configuration of a task, including hidden ones.

    Computed once per task, so that the memory has the same size for every use.
    """

    def __init__(self, task: Task) -> None:
        """Makes one set of inputs of each configuration, to see their shapes."""
        self._slots: dict[str, list[Slot]] = {}
        cases = [case.configuration for case in task.check_cases()]
        for configuration in (*task.configurations, *cases):
            if self._key(configuration) not in self._slots:
                self._slots[self._key(configuration)] = _slots(task, configuration)

    @staticmethod
    def _key(configuration: Configuration) -> str:
        return configuration.model_dump_json()

    def draw(self, configuration: Configuration) -> Slot:
        """A randomly chosen position for the arguments of a call."""
        return secrets.choice(self._slots[self._key(configuration)])

    def all(self) -> Iterable[Slot]:
        """Every place of every configuration."""
        return [slot for slots in self._slots.values() for slot in slots]


def _slots(task: Task, configuration: Configuration) -> list[Slot]:
    example = task.make_inputs(configuration, fresh_seed(), "normal")
    shapes = input_shapes(task, configuration, example)
    slots: list[Slot] = []
    inputs = outputs = 0
    for number in range(_SLOTS):
        slot = lay_out(task, configuration, shapes, number, inputs, outputs)
        inputs += sum(p.pages_bytes for p in slot.inputs.values())
        outputs += sum(p.pages_bytes for p in slot.outputs.values())
        slots.append(slot)
    return slots


def extent(places: Iterable[Place]) -> int:
    """Bytes up to the end of the last of them."""
    return max((p.offset + p.pages_bytes for p in places), default=0)


class Memory:
    """The two arenas of one process, and the tensors of slots in them."""

    def __init__(self, slots: Iterable[Slot]) -> None:
        """Large enough for every slot; slots of different configurations may overlap."""
        slots = list(slots)
        sizes = (
            max((extent(s.inputs.values()) for s in slots), default=0),
            max((extent(s.outputs.values()) for s in slots), default=0),
        )
        self.inputs = Arena("inputs", max(sizes[0], 4096), writable=False)
        self.outputs = Arena("outputs", max(sizes[1], 4096), writable=True)

    def close(self) -> None:
        """Closes the descriptors."""
        self.inputs.close()
        self.outputs.close()

    @property
    def arenas(self) -> tuple[Arena, Arena]:
        """Inputs and outputs, in the runner's order."""
        return self.inputs, self.outputs

    def write(self, slot: Slot, inputs: Tensors) -> None:
        """Fills a slot's inputs."""
        for name, spot in slot.inputs.items():
            self.inputs.tensor(spot).copy_(inputs[name])

    def poison(self, slot: Slot, salt: int) -> None:
        """Fills a slot's outputs as `dtypes.poison` does, and their surroundings with a pattern."""
        for spot in slot.outputs.values():
            self.outputs.poison(spot, salt)

    def output(self, slot: Slot, name: str) -> torch.Tensor:
        """A view of one output."""
        return self.outputs.tensor(slot.outputs[name])

    def trespass(self, slot: Slot) -> tuple[str, int] | None:
        """Output and offset of the first byte written outside one, if any."""
        for name, spot in slot.outputs.items():
            offset = self.outputs.trespass(spot)
            if offset is not None:
                return name, offset
        return None
