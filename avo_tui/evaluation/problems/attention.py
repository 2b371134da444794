"""Scaled dot-product attention, forward: O = softmax(Q Kᵀ / √d + mask) V, per head.

Grouped queries: query head h reads key/value head h // (heads // kv_heads). Causal: row i sees the
keys 0 … i. Configurations have the parameters `batch`, `heads`, `kv_heads` (optional: `heads`),
`seq` or `sequence`, and `causal`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from avo_tui.domain.task import Configuration
from avo_tui.evaluation.measurement.cases import CheckCase, Perturbation

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch

    from avo_tui.evaluation.task import Tensors

SCORE_BLOCK = 1 << 28
"""Bytes of scores that the reference holds at a time on a GPU."""
CACHED_BLOCK = 1 << 19
"""The same on a processor: scores that stay in its caches, and of causal rows few that are masked,
take a third of the time."""
BEYOND_EXP = 150.0
"""Logits that far apart are outside the range of exp in single precision, which is 88."""

LONE_KEY = 30.0
"""Times a key is as large as the others, so that it decides every row that sees it."""

TWIN = 0.99
"""Times a key is as large as its twin: logits of 100 then differ by 1."""

DISTRIBUTIONS = {
    "normal": "plain inputs",
    "large_logits": "large logits",
    "small": "inputs of small magnitude, so that all keys weigh alike",
    "outliers": "outlier channels and values",
    "offset": "logits with a large common offset",
    "sunk": "logits that are all far below zero",
    "needle": "one key that takes most of the weight",
    "late_needle": "a late key whose logit is far beyond the others'",
    "rising": "logits that rise or fall along the keys, beyond the range of exp",
    "lone_query": "one query among plain ones whose largest logit is beyond the range of exp",
    "lone_key": "one key among plain ones that is many times as large",
    "twin_keys": "two keys among plain ones, nearly the same and many times as large",
}
"""Kind of inputs → what it is about, in words that may be told of a hidden case."""


@dataclass(frozen=True)
class Shape:
    """The sizes of one configuration."""

    batch: int
    heads: int
    kv_heads: int
    seq: int
    causal: bool


@dataclass(frozen=True)
class Attention:
    """The problem for one head dimension and one layout of its tensors."""

    head_dim: int
    heads_first: bool
    """True for (batch, heads, seq, head_dim), False for (batch, seq, heads, head_dim)."""
    output: str
    """The output's name; the inputs are q, k and v."""
    perturbed_by: tuple[float, ...] = (4.0,)
    """Standard deviations of the keys and values that a perturbation draws, for one head after the
    other. Logits far beyond the usual ones show what rows share, such as a reference of the
    exponentials that moves for all rows of a tile when one of them needs it."""

    @property
    def scale(self) -> float:
        """What logits are multiplied by: 1/√head_dim."""
        return 1.0 / math.sqrt(self.head_dim)

    @property
    def axes(self) -> tuple[str, ...]:
        """Names of the output's dimensions."""
        middle = ("head", "seq") if self.heads_first else ("seq", "head")
        return ("batch", *middle, "head_dim")

    def shape(self, configuration: Configuration) -> Shape:
        """The sizes of a configuration."""
        p = configuration.parameters
        heads = int(p["heads"])
        return Shape(
            batch=int(p["batch"]),
            heads=heads,
            kv_heads=int(p.get("kv_heads", heads)),
            seq=int(p["seq"] if "seq" in p else p["sequence"]),
            causal=bool(p["causal"]),
        )

    def sizes(self, configuration: Configuration, name: str) -> tuple[int, ...]:
        """The shape of one tensor."""
        s = self.shape(configuration)
        heads = s.kv_heads if name in {"k", "v"} else s.heads
        if self.heads_first:
            return (s.batch, heads, s.seq, self.head_dim)
        return (s.batch, s.seq, heads, self.head_dim)

    def flops(self, configuration: Configuration) -> float:
        """Two products of seq x seq x head_dim per head; half of that when causal."""
        s = self.shape(configuration)
        full = 4.0 * s.batch * s.heads * s.seq**2 * self.head_dim
        return full / 2 if s.causal else full

    def by_head(self, tensor: torch.Tensor) -> torch.Tensor:
        """A view as (batch, heads, seq, head_dim)."""
        return tensor if self.heads_first else tensor.transpose(1, 2)

    def fill(self, inputs: Tensors, seed: int, distribution: str) -> None:
        """Writes q, k and v in place: a pure function of shapes, seed and distribution.

        Raises ValueError for a distribution that is not among `DISTRIBUTIONS`.
        """
        import torch

        if distribution not in DISTRIBUTIONS:
            known = ", ".join(DISTRIBUTIONS)
            raise ValueError(f"there is no distribution {distribution!r}; there are: {known}")
        generator = torch.Generator(device=inputs["q"].device).manual_seed(seed)
        for name in ("q", "k", "v"):
            inputs[name].normal_(generator=generator)
        q, k, v = (self.by_head(inputs[name]) for name in ("q", "k", "v"))
        if distribution == "large_logits":
            q.mul_(5.0)
        elif distribution == "small":
            q.mul_(0.05)
            v.mul_(0.01)
        elif distribution == "outliers":
            q[..., 3].mul_(12.0)
            k[..., 3].mul_(6.0)
            v[:, :, ::97].mul_(20.0)
        elif distribution == "offset":
            k[..., 0].add_(32.0)
            q[..., 0].add_(32.0)
            v.add_(2.0)
        elif distribution == "sunk":
            # No further than needed: a product in single precision is off by a part of this logit.
            depth = math.sqrt(BEYOND_EXP / self.scale)
            k[..., 0].add_(depth)
            q[..., 0].sub_(depth)
        elif distribution == "needle":
            self._needles(q, k, v, generator)
        elif distribution == "late_needle":
            self._late_needles(q, k, v, generator)
        elif distribution == "rising":
            self._slopes(q, k, generator)
        elif distribution == "lone_query":
            self._lone_queries(q, k, generator)
        elif distribution in {"lone_key", "twin_keys"}:
            batch, heads, seq, _ = k.shape
            places = torch.randint(0, seq, (batch, heads), generator=generator, device=k.device)
            b = torch.arange(batch, device=k.device)[:, None]
            h = torch.arange(heads, device=k.device)[None, :]
            k[b, h, places] *= LONE_KEY
            if distribution == "twin_keys":  # a maximum of some keys misses both, and tells no
                k[b, h, places] *= 2.0  # difference between them where it caps the exponent
                apart = torch.randint(
                    1, max(2, seq), (batch, heads), generator=generator, device=k.device
                )
                other = (places + apart) % seq  # a fixed distance would have one in each half
                k[b, h, other] = k[b, h, places] * TWIN

    def _direction(self, like: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """A random vector of ±1."""
        import torch

        drawn = torch.randn(self.head_dim, generator=generator, device=like.device)
        return torch.where(drawn < 0, -1.0, 1.0).to(like.dtype)

    def _needles(
        self, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, generator: torch.Generator
    ) -> None:
        """In every head one key that takes most of the weight: an output without it is wrong."""
        import torch

        batch, heads, seq, _ = k.shape
        places = torch.randint(0, seq, (batch, heads), generator=generator, device=k.device)
        direction = self._direction(q, generator)
        q.add_(direction)
        # The needle's logit is about 16, where others are about 1.4.
        self._plant(k, v, places, direction * (16.0 / (self.scale * self.head_dim)))

    @staticmethod
    def _plant(
        k: torch.Tensor, v: torch.Tensor, places: torch.Tensor, needle: torch.Tensor
    ) -> None:
        """Puts a needle at one place of each head, and a value of twice the size."""
        import torch

        batch, heads, _, _ = k.shape
        b = torch.arange(batch, device=k.device)[:, None]
        h = torch.arange(heads, device=k.device)[None, :]
        k[b, h, places] = needle
        v[b, h, places] = v[b, h, places] * 2.0

    def _late_needles(
        self, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, generator: torch.Generator
    ) -> None:
        """One key in the last quarter, the very last one in every other head, far above all."""
        import torch

        batch, heads, seq, _ = k.shape
        late = torch.randint(
            3 * seq // 4, seq, (batch, heads), generator=generator, device=k.device
        )
        direction = self._direction(q, generator)
        q.add_(direction)
        b = torch.arange(batch, device=k.device)[:, None]
        h = torch.arange(heads, device=k.device)[None, :]
        places = torch.where((b + h) % 2 == 1, seq - 1, late)
        self._plant(k, v, places, direction * (BEYOND_EXP / (self.scale * self.head_dim)))

    def _slopes(self, q: torch.Tensor, k: torch.Tensor, generator: torch.Generator) -> None:
        """Logits that rise along the keys by more than exp can hold; in every third head they fall.

        Every maximum is beaten by the next tile's, and the first one is useless at the end.
        """
        import torch

        _, heads, seq, _ = k.shape
        direction = self._direction(q, generator)
        q.add_(direction)
        slope = BEYOND_EXP / (self.scale * self.head_dim)
        ramp = torch.linspace(0.0, slope, seq, device=k.device).to(k.dtype)
        for h in range(heads):
            along = ramp.flip(0) if h % 3 == 2 else ramp
            k[:, h].add_(along[:, None] * direction)

    def _lone_queries(self, q: torch.Tensor, k: torch.Tensor, generator: torch.Generator) -> None:
        """In every head one query is turned to a key that it sees; all else is plain noise.

        Nothing that a kernel learns of the other rows tells that this one needs its maximum.
        """
        import torch

        batch, heads, seq, _ = q.shape
        drawn = torch.rand((2, batch, heads), generator=generator, device=q.device)
        rows = (drawn[0] * seq).long().clamp(max=seq - 1)
        places = (drawn[1] * (rows + 1)).long().minimum(rows)
        b = torch.arange(batch, device=q.device)[:, None]
        h = torch.arange(heads, device=q.device)[None, :]
        key = k[b, h // (heads // k.shape[1]), places].float()
        along = BEYOND_EXP / (self.scale * key.square().sum(-1, keepdim=True))
        q[b, h, rows] = (key * along).to(q.dtype)

    def reference(
        self, configuration: Configuration, inputs: Tensors, precision: torch.dtype
    ) -> Tensors:
        """The output in `precision`, one head and a block of rows at a time."""
        import torch

        causal = self.shape(configuration).causal
        q, k, v = (self.by_head(inputs[name]) for name in ("q", "k", "v"))
        batch, heads, seq, _ = q.shape
        group = heads // k.shape[1]
        out = torch.empty(inputs["q"].shape, dtype=precision, device=q.device)
        result = self.by_head(out)
        block = CACHED_BLOCK if q.device.type == "cpu" else SCORE_BLOCK
        rows = max(64, min(seq, block // (4 * seq)))
        for b in range(batch):
            for h in range(heads):
                if h % group == 0:
                    keys = k[b, h // group].to(precision)
                    values = v[b, h // group].to(precision)
                for start in range(0, seq, rows):
                    stop = min(seq, start + rows)
                    seen = stop if causal else seq
                    scores = (q[b, h, start:stop].to(precision) * self.scale) @ keys[:seen].T
                    if causal:
                        size = stop - start
                        future = torch.ones(size, size, dtype=torch.bool, device=q.device).triu_(1)
                        scores[:, start:stop].masked_fill_(future, -math.inf)
                    result[b, h, start:stop] = torch.softmax(scores, dim=-1) @ values[:seen]
        return {self.output: out}

    def perturb(
        self, configuration: Configuration, inputs: Tensors, seed: int
    ) -> Perturbation | None:
        """Causal: other keys and values from a random row on. Full: those of one head.

        None where nothing can be left unaffected: full attention on one key/value head.
        """
        import torch

        s = self.shape(configuration)
        draw = torch.Generator(device="cpu").manual_seed(seed)
        other = torch.Generator(device=inputs["q"].device).manual_seed(seed)
        changed = {name: tensor.clone() for name, tensor in inputs.items()}
        views = {name: self.by_head(tensor) for name, tensor in changed.items()}
        device = inputs["q"].device
        if s.causal:
            row = int(torch.randint(1, max(2, s.seq), (1,), generator=draw))
            first = int(torch.randint(len(self.perturbed_by), (1,), generator=draw))
            for name in ("k", "v"):
                for one in range(s.kv_heads):
                    scale = self.perturbed_by[(first + one) % len(self.perturbed_by)]
                    views[name][:, one, row:] = self._noise(views[name][:, one, row:], other, scale)
            before = torch.arange(s.seq, device=device) < row
            mask = before[None, None, :, None]
            meaning = "rows before the change see keys or values of the future"
        else:
            if s.kv_heads < 2:
                return None
            head = int(torch.randint(s.kv_heads, (1,), generator=draw))
            first = int(torch.randint(len(self.perturbed_by), (1,), generator=draw))
            scale = self.perturbed_by[first]
            for name in ("k", "v"):
                views[name][:, head] = self._noise(views[name][:, head], other, scale)
            apart = torch.arange(s.heads, device=device) // (s.heads // s.kv_heads) != head
            mask = apart[None, :, None, None]
            meaning = "a head depends on the keys or values of another head"
        unaffected = mask if self.heads_first else mask.transpose(1, 2)
        return Perturbation(changed, {self.output: unaffected}, meaning)

    @staticmethod
    def _noise(like: torch.Tensor, generator: torch.Generator, scale: float) -> torch.Tensor:
        import torch

        return torch.empty_like(like).normal_(std=scale, generator=generator)


MIXED = ("normal", "needle", "large_logits", "outliers", "rising", "small", "late_needle")


def check_cases(
    small: Sequence[tuple[Configuration, bool]],
    hidden: Sequence[Configuration],
    scored: Sequence[Configuration],
    crowded: Sequence[tuple[Configuration, str]] = (),
    kinds: Sequence[str] = MIXED,
) -> tuple[CheckCase, ...]:
    """Cheapest first: public small ones, hidden ones, then all that is scored.

    `small` says of each whether it is perturbed, too. Hidden configurations share the kinds of
    inputs between them, and `crowded` ones, hidden as well, name theirs; of each scored one a
    single kind is run, of `kinds` in turn.
    """
    cases = [
        CheckCase(configuration, "normal", repeat=True, perturb=thorough, category="plain")
        for configuration, thorough in small
    ]
    for configuration, _ in small:
        cases += [_case(configuration, kind) for kind in ("late_needle", "rising", "lone_query")]
    names = list(DISTRIBUTIONS)
    each = max(3, -(-len(names) // max(1, len(hidden))))
    for index, configuration in enumerate(hidden):
        for offset in range(each):
            kind = names[(index * each + offset) % len(names)]
            cases.append(
                _case(configuration, kind, hidden=True, repeat=offset == 0, perturb=offset == 0)
            )
    cases += [_case(configuration, kind, hidden=True) for configuration, kind in crowded]
    for index, configuration in enumerate(scored):
        kind = kinds[index % len(kinds)]
        cases.append(_case(configuration, kind, repeat=True, perturb=index == len(scored) // 2))
    return tuple(cases)


def _case(
    configuration: Configuration,
    kind: str,
    *,
    hidden: bool = False,
    repeat: bool = False,
    perturb: bool = False,
) -> CheckCase:
    return CheckCase(
        configuration, kind, hidden=hidden, category=DISTRIBUTIONS[kind],
        repeat=repeat, perturb=perturb,
    )  # fmt: skip
