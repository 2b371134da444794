"""References that are a definition of FlashInfer-Bench."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from avo_tui.evaluation.measurement import dtypes
from avo_tui.evaluation.references.indices import IndexInputs
from avo_tui.evaluation.references.sample import BadReferenceError, ReferenceSample
from avo_tui.evaluation.references.source import Reference, Source
from avo_tui.evaluation.references.spec import Kind, Sizes

if TYPE_CHECKING:
    import torch

    Tensors = dict[str, torch.Tensor]


class FlashInfer(Reference):
    """A definition: `axes` (const or var), `inputs`, `outputs`, and `reference` with `run(...)`."""

    kind: Kind = "flashinfer"
    VARYING = 64
    """Size of an axis that varies, where none is given."""
    SEQUENCES = 8
    """The same of an axis that counts sequences of different lengths."""

    def __init__(self, text: str) -> None:
        """Raises BadReferenceError for no definition, or one that needs inputs of its own."""
        try:
            self._definition = json.loads(text)
            axes = self._definition["axes"]
            self._inputs = self._definition["inputs"]
            self._outputs = self._definition["outputs"]
            self._source = Source(self._definition["reference"], "reference")
        except BadReferenceError:
            raise
        except KeyError as error:
            raise BadReferenceError(
                f"not a definition of FlashInfer-Bench: it lacks {error}"
            ) from error
        except (ValueError, TypeError) as error:
            raise BadReferenceError(f"not a definition of FlashInfer-Bench: {error}") from error
        self.fixed = {n: int(a["value"]) for n, a in axes.items() if a.get("type") == "const"}
        self.constants = {n: self.VARYING for n, a in axes.items() if a.get("type") != "const"}
        self._indices = IndexInputs(self._definition.get("constraints") or [], frozenset(axes))
        for name in self._indices.implied & self.constants.keys():
            del self.constants[name]
        for name, entry in self._inputs.items():
            kind = dtypes.dtype(str(entry["dtype"]))
            if not _is_index(entry) or kind.bytes == 1:
                continue
            if not self._indices.knows(name):
                raise BadReferenceError(
                    f"the input {name} is {kind.name}: indices mean something that a definition "
                    "does not say, so they cannot be drawn; write a pair ref_kernel/generate_input"
                )
            if name.endswith(("indptr", "seqlens")):
                counts = self._indices.counted_by(str(entry["shape"][0]))
                self.constants.update(dict.fromkeys(counts & self.constants.keys(), self.SEQUENCES))

    def draw(self, sizes: Sizes, seed: int, device: str) -> ReferenceSample:
        import torch

        names = self._source.run({}, device)
        values = self._indices.complete({**self.constants, **self.fixed, **sizes})
        where = "cpu" if device == "meta" else device
        generator = torch.Generator(where).manual_seed(seed % 2**63)
        shares = torch.Generator(where)
        inputs: Tensors = {}
        slots: list[Any] = []
        for name, entry in self._inputs.items():
            if entry.get("shape") is None:
                slots.append((_scalar(str(entry["dtype"]), values, name),))
                continue
            shape = [values[a] if isinstance(a, str) else int(a) for a in entry["shape"]]
            kind = dtypes.torch_dtype(str(entry["dtype"]))
            if device == "meta":
                inputs[name] = torch.empty(shape, dtype=kind, device="meta")
            elif kind.itemsize == 1 and not kind.is_floating_point and kind != torch.bool:
                inputs[name] = torch.randint(
                    -100, 100, shape, generator=generator, device=where
                ).to(kind)
            elif _is_index(entry):
                shares.manual_seed(seed % 2**63)  # the same cuts for queries and keys
                drawn = self._indices.draw(name, shape, values, shares)
                inputs[name] = drawn.to(kind)
            else:
                inputs[name] = torch.randn(shape, generator=generator, device=where).to(kind)
            slots.append(name)

        def run(tensors: Tensors) -> Any:
            arguments = [tensors[s] if isinstance(s, str) else s[0] for s in slots]
            value = names["run"](*arguments)
            if isinstance(value, Mapping):
                return {name: value[name] for name in self._outputs}
            parts = [value] if isinstance(value, torch.Tensor) else list(value)
            return dict(zip(self._outputs, parts, strict=True))

        return ReferenceSample(inputs, {}, run)


def _is_index(entry: dict[str, Any]) -> bool:
    """Whether an input is a tensor of whole numbers."""
    kind = dtypes.dtype(str(entry["dtype"]))
    return entry.get("shape") is not None and kind.exact and kind.kind != "bool"


def _scalar(dtype: str, values: Sizes, name: str) -> float | int:
    """A scalar input: 1/√d for a softmax's scale, where a head dimension is known; else 1."""
    if dtypes.dtype(dtype).exact:
        return values.get(name, 1)
    for axis in ("head_dim", "head_dim_qk", "head_size"):
        if axis in values:
            return float(values[axis] ** -0.5)
    return 1.0
