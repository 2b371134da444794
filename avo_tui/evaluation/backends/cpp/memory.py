"""Memory shared with a candidate's process: inputs, which it can only read, and outputs.

Each tensor is placed at the end of its pages, before a guard page of the candidate's process. The
bytes before it, and the few between it and the guard page, contain a pattern that is checked.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import random
import secrets
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from avo_tui.domain.task import Configuration
from avo_tui.evaluation.measurement import dtypes
from avo_tui.evaluation.pool import fresh_seed
from avo_tui.evaluation.ports import EvaluatorError
from avo_tui.evaluation.task import Task

if TYPE_CHECKING:
    import torch

    from avo_tui.evaluation.task import Tensors


PAGE = mmap.PAGESIZE
_ALIGNMENT = 64
_CHANCE = random.SystemRandom()
_PATTERN = 0xA5


_SEAL_FUTURE_WRITE = 0x10
"""F_SEAL_FUTURE_WRITE of linux/fcntl.h, since Linux 5.1."""


def _seal(file: int, seals: int) -> None:
    try:
        fcntl.fcntl(file, fcntl.F_ADD_SEALS, seals)
    except OSError as error:
        raise EvaluatorError(
            "this kernel cannot protect inputs from a candidate; Linux 5.1 or later is needed"
        ) from error


@dataclass(frozen=True)
class Place:
    """The position of a tensor in its arena, in bytes."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    offset: int
    """Offset of the tensor's first page in the arena."""
    shift: int
    """Offset of the first element within the tensor's pages."""
    bytes: int

    @property
    def pages_bytes(self) -> int:
        """Bytes of all its pages."""
        return -(-(self.shift + self.bytes) // PAGE) * PAGE


def place(name: str, shape: tuple[int, ...], dtype: str, offset: int) -> Place:
    """Puts a tensor at the pages from `offset` on."""
    count = dtypes.dtype(dtype).bytes
    for size in shape:
        count *= size
    shift = -count % PAGE // _ALIGNMENT * _ALIGNMENT
    return Place(name, shape, dtype, offset, shift, count)


class Arena:
    """A memory file, mapped here; the candidate's process gets a descriptor of it.

    One that is not writable is sealed: nobody can write to it or map it writable any more, however
    it is opened (`/proc/self/fd`, `/proc/self/mem`); only the mapping that is made here can.
    """

    def __init__(self, name: str, size: int, writable: bool) -> None:
        """`writable`: whether the candidate may write; the harness always may."""
        self._file = os.memfd_create(f"avo-{name}", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        try:
            os.ftruncate(self._file, size)
            # Allocate every page now: the first access to a page can take milliseconds, which must
            # not be counted as the candidate's time.
            self._map = mmap.mmap(self._file, size, flags=mmap.MAP_SHARED | mmap.MAP_POPULATE)
            seals = fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_SEAL
            # The harness's mapping was made before the seal, so it stays writable.
            seals |= 0 if writable else _SEAL_FUTURE_WRITE
            _seal(self._file, seals)
            access = os.O_RDWR if writable else os.O_RDONLY
            self.descriptor = os.open(f"/proc/self/fd/{self._file}", access)
        except BaseException:
            os.close(self._file)
            raise
        self.size = size

    def close(self) -> None:
        """Gives the memory back once the last tensor that views it is gone."""
        os.close(self.descriptor)
        os.close(self._file)

    def write(self, data: bytes) -> None:
        """Overwrites the beginning."""
        self._map[: len(data)] = data

    def tensor(self, at: Place) -> torch.Tensor:
        """A view of a tensor in the arena."""
        import torch

        kind = dtypes.torch_dtype(at.dtype)
        count = at.bytes // dtypes.dtype(at.dtype).bytes
        flat = torch.frombuffer(self._map, dtype=kind, count=count, offset=at.offset + at.shift)
        return flat.view(at.shape)

    def poison(self, at: Place, salt: int) -> None:
        """Fill a tensor with NaN, and the bytes around it with the pattern."""
        import torch

        pages = torch.frombuffer(
            self._map, dtype=torch.uint8, count=at.pages_bytes, offset=at.offset
        )
        pages[: at.shift].fill_(_PATTERN)
        dtypes.poison(self.tensor(at), salt)
        pages[at.shift + at.bytes :].fill_(_PATTERN)

    def trespass(self, at: Place) -> int | None:
        """Offset, from the tensor's beginning, of the first byte written outside it; None if there
        is none."""
        import torch

        pages = torch.frombuffer(
            self._map, dtype=torch.uint8, count=at.pages_bytes, offset=at.offset
        )
        for begin, end in ((0, at.shift), (at.shift + at.bytes, at.pages_bytes)):
            wrong = (pages[begin:end] != _PATTERN).nonzero()
            if len(wrong):
                return int(wrong[0]) + begin - at.shift
        return None


_SLOTS = 2
"""Number of alternative positions for the tensors of a call in the candidate's memory, at least."""
MOST_CALLS = 64
"""Most calls in one timed stretch, each with tensors of its own."""
_STRETCH_BYTES = 4 << 20
"""Bytes that the tensors of all positions may take for there to be more than `_SLOTS`."""
_LOWEST, _HIGHEST = 1 << 36, 1 << 38
"""Addresses that tensors are mapped at: below programs, libraries and stacks on all processors."""
_INPUTS, _OUTPUTS = 11, 12
"""Descriptors of the arenas in the candidate's process, see native/runner.cpp."""


@dataclass(frozen=True)
class Slot:
    """One set of arguments in shared memory, for one configuration."""

    arguments: tuple[Place | int | float, ...]
    """Tensors and numbers in the order of the task's arguments."""
    inputs: dict[str, Place]
    outputs: dict[str, Place]


@dataclass(frozen=True)
class Tensor:
    """A tensor at an address of the candidate's process."""

    place: Place
    address: int
    """Of its first page."""
    descriptor: int


class Addresses:
    """Draws where tensors are mapped in one process: at an address of before, or anywhere else.

    A kernel that keeps results by address is right as long as no address comes twice, and one that
    tells calls apart by it must not be sure of either.
    """

    def __init__(self) -> None:
        self._before: dict[tuple[int, int, int], int] = {}

    def draw(self, slots: Sequence[Slot]) -> list[list[Tensor | int | float]]:
        """The arguments of a call for each slot, no two tensors near one another."""
        taken: list[range] = []
        return [
            [
                self._somewhere(value, value.name in slot.inputs, taken)
                if isinstance(value, Place)
                else value
                for value in slot.arguments
            ]
            for slot in slots
        ]

    def _somewhere(self, place: Place, read_only: bool, taken: list[range]) -> Tensor:
        descriptor = _INPUTS if read_only else _OUTPUTS
        key = (descriptor, place.offset, place.bytes)
        address = self._before.get(key)
        while True:
            if address is None or secrets.randbelow(2):
                address = _LOWEST + PAGE * secrets.randbelow((_HIGHEST - _LOWEST) // PAGE)
            around = range(address - PAGE, address + place.pages_bytes + PAGE)
            if all(around.stop <= r.start or r.stop <= around.start for r in taken):
                break
        taken.append(around)
        self._before[key] = address
        return Tensor(place, address, descriptor)


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
    input_base: int,
    output_base: int,
) -> Slot:
    """Places the tensors from the two offsets on."""
    outputs = task.outputs(configuration)
    arguments: list[Place | int | float] = []
    places: tuple[dict[str, Place], dict[str, Place]] = ({}, {})
    for argument in task.arguments:
        if argument.kind == "input":
            spot = place(argument.name, *inputs[argument.name], input_base)
            places[0][argument.name] = spot
            input_base += spot.pages_bytes
            arguments.append(spot)
        elif argument.kind == "output":
            spot = place(argument.name, *outputs[argument.name], output_base)
            places[1][argument.name] = spot
            output_base += spot.pages_bytes
            arguments.append(spot)
        else:
            value = configuration.parameters[argument.name]
            arguments.append(float(value) if argument.kind == "real" else int(value))
    return Slot(tuple(arguments), *places)


class Layouts:
    """The positions of the tensors of every configuration of a task, including hidden ones.

    Computed once per task, so that the memory has the same size for every use.
    """

    def __init__(self, task: Task, further: Sequence[Configuration] = ()) -> None:
        """Makes one set of inputs of each configuration, to see their shapes."""
        self._slots: dict[str, list[Slot]] = {}
        cases = [case.configuration for case in task.check_cases()]
        for configuration in (*task.configurations, *cases, *further):
            if self._key(configuration) not in self._slots:
                self._slots[self._key(configuration)] = _slots(task, configuration)

    @staticmethod
    def _key(configuration: Configuration) -> str:
        return configuration.model_dump_json()

    def draw(self, configuration: Configuration, calls: int) -> list[Slot]:
        """Different positions, chosen at random, for the arguments of some calls."""
        return _CHANCE.sample(self._slots[self._key(configuration)], calls)

    def most_calls(self, configuration: Configuration) -> int:
        """How many calls of a configuration one stretch may hold."""
        slots = len(self._slots[self._key(configuration)])
        return slots if slots > _SLOTS else 1

    def all(self) -> Iterable[Slot]:
        """Every place of every configuration."""
        return [slot for slots in self._slots.values() for slot in slots]


def _slots(task: Task, configuration: Configuration) -> list[Slot]:
    example = task.make_inputs(configuration, fresh_seed(), "normal")
    shapes = input_shapes(task, configuration, example)
    slots: list[Slot] = []
    inputs = outputs = 0
    while len(slots) < _SLOTS or (
        len(slots) < MOST_CALLS
        and (inputs + outputs) * (len(slots) + 1) <= _STRETCH_BYTES * len(slots)
    ):
        slot = lay_out(task, configuration, shapes, inputs, outputs)
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
        # Of each call the values, two words to unmap a tensor and four to map one.
        most = MOST_CALLS * max((len(s.arguments) for s in slots), default=0)
        self.page = Arena("control", 8 * (4 + 7 * most), writable=False)

    def close(self) -> None:
        """Closes the descriptors."""
        for arena in (self.inputs, self.outputs, self.page):
            arena.close()

    def control(
        self, calls: Sequence[Sequence[Tensor | int | float]], unmapped: Sequence[tuple[int, int]]
    ) -> None:
        """Writes the control page of native/runner.cpp: what to unmap, and the calls to make."""
        tensors = [value for call in calls for value in call if isinstance(value, Tensor)]
        words: list[int | float] = [len(calls), len(unmapped), len(tensors)]
        words.append(4 + 2 * len(unmapped) + 4 * len(tensors))
        words += [number for pages in unmapped for number in pages]
        for t in tensors:
            words += [t.address, t.place.pages_bytes, t.descriptor, t.place.offset]
        words += [
            value.address + value.place.shift if isinstance(value, Tensor) else value
            for call in calls
            for value in call
        ]
        self.page.write(
            b"".join(struct.pack("=d" if isinstance(w, float) else "=q", w) for w in words)
        )

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
