"""One set of random inputs and weights of a reference, with a function that computes its
outputs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

    Tensors = dict[str, torch.Tensor]


class BadReferenceError(ValueError):
    """No task can be made from the reference; the message says why and what to do."""


def _on_device_of(tensors: Tensors) -> AbstractContextManager[object]:
    """New tensors, such as a mask that `forward` makes, come where the inputs are.

    On the processor they do so anyway, and a timed call is spared the context's microseconds.
    """
    import torch

    device = next((tensor.device for tensor in tensors.values()), torch.device("cpu"))
    return nullcontext() if device.type == "cpu" else device


class ReferenceSample:
    """One set of inputs and weights of a reference, with a function that computes the outputs."""

    def __init__(
        self,
        inputs: Tensors,
        weights: Tensors,
        run: Callable[[Tensors], Any],
        place: Callable[[Tensors], None] | None = None,
        modes: tuple[str, ...] = (),
    ) -> None:
        """`run` takes inputs and weights by name, in any one precision.

        `place` makes weights, by name, those of the module; without it there are no weights.
        `modes` say what its parts compute that compute something else in training than in
        evaluation.
        """
        self.modes = modes
        self.inputs, self.weights, self._run, self._place = inputs, weights, run, place
        self._placed: Tensors = {}

    def placed(self, tensors: Tensors) -> Tensors:
        """Puts the weights among `tensors` into the module; the inputs are returned.

        Weights that are there already stay, so that this is cheap where it is repeated: `outputs`
        of the inputs alone is as quick as the reference itself. With `outputs` of all tensors the
        weights are swapped for the call, which takes tens of microseconds. They have the module's
        own dtypes here.
        """
        if self._place is None:
            return tensors
        weights = {name: tensors[name] for name in self.weights if name in tensors}
        if any(tensor is not self._placed.get(name) for name, tensor in weights.items()):
            self._place(weights)
            self._placed = weights
        return {name: tensors[name] for name in self.inputs if name in tensors}

    def outputs(self, tensors: Tensors) -> Tensors:
        """The outputs by name: `out`, or `out0`, `out1`, … Raises BadReferenceError for others."""
        import torch

        with _on_device_of(tensors):
            value = self._run(tensors)
        if isinstance(value, Mapping):
            named = {str(key): item for key, item in value.items()}
        elif isinstance(value, tuple | list):
            named = {f"out{index}": item for index, item in enumerate(value)}
        else:
            named = {"out": value}
        for name, item in named.items():
            if not isinstance(item, torch.Tensor):
                raise BadReferenceError(
                    f"the reference returns a {type(item).__name__} ({name}); every output must "
                    "be a tensor"
                )
        if not named:
            raise BadReferenceError("the reference returns nothing")
        return named
