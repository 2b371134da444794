"""The task of the sparse recurrent layer: inputs, reference, tolerance, and what it must refuse."""

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest
import torch

from avo_tui.evaluation.backends.cuda.compiled import plans_for
from avo_tui.evaluation.backends.cuda.launch_plan import DeviceFacts
from avo_tui.evaluation.backends.cuda.task import CudaTask
from avo_tui.evaluation.candidates import read_candidate
from avo_tui.evaluation.measurement.judge import expect, judge
from avo_tui.evaluation.task import PreparedBaseline, prepare_baseline
from avo_tui.evaluation.tasks import load_task

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "kernels" / "sparse_rnn"
VERSIONS = sorted((ROOT / "benchmarks" / "rnn_lineage").glob("*/*/launch.toml"))
HOPPER = DeviceFacts.of_architecture("sm_90a")
SMALL = 4
"""How many cases, from the first, are small enough for a CPU."""

Inputs = dict[str, torch.Tensor]


@pytest.fixture(scope="module")
def task() -> CudaTask:
    found = load_task(FOLDER)
    assert isinstance(found, CudaTask)
    return found


def steps(
    inputs: Inputs,
    *,
    weights: Callable[[torch.Tensor], torch.Tensor] = lambda w: w,
    state: Callable[[torch.Tensor, int], torch.Tensor] = lambda h, t: h,
    activation: Callable[[torch.Tensor], torch.Tensor] = torch.tanh,
) -> torch.Tensor:
    """The recurrence in fp32 with fp16 states, with one part of it replaced."""
    w = weights(inputs["w"].float())
    h = inputs["h0"]
    out = torch.empty_like(inputs["x"])
    for t, x in enumerate(inputs["x"]):
        h = activation(x.float() + state(h.float(), t) @ w.T).half()
        out[t] = h
    return out


def verdict(task: CudaTask, case: int, compute: Callable[[Inputs], torch.Tensor]) -> bool:
    chosen = task.check_cases()[case]
    inputs = task.make_inputs(chosen.configuration, 5, chosen.distribution)
    reference = task.reference(chosen.configuration, inputs)["o"]
    own = task.own(chosen.configuration, inputs)["o"]
    return judge("o", compute(inputs), expect(reference, own, task.tolerance)).ok


@pytest.mark.parametrize("case", range(SMALL))
def test_the_plain_recurrence_is_right(task: CudaTask, case: int) -> None:
    assert verdict(task, case, steps)


def _half_precision_sums(inputs: Inputs) -> torch.Tensor:
    """Sums in fp16, eight products at a time: what HFMA2 without an fp32 sum gives."""
    w, h, out = inputs["w"], inputs["h0"], torch.empty_like(inputs["x"])
    for t, x in enumerate(inputs["x"]):
        total = x.clone()
        for first in range(0, w.shape[1], 8):
            part = h[:, first : first + 8].float() @ w[:, first : first + 8].float().T
            total = (total.float() + part).half()
        h = torch.tanh(total.float()).half()
        out[t] = h
    return out


def _stale(inputs: Inputs) -> torch.Tensor:
    """One column is read a step too late."""
    before: list[torch.Tensor] = []

    def late(h: torch.Tensor, t: int) -> torch.Tensor:
        before.append(h.clone())
        if t:
            h = h.clone()
            h[:, 7] = before[t - 1][:, 7]
        return h

    return steps(inputs, state=late)


def _without_last_nonzero(w: torch.Tensor) -> torch.Tensor:
    """The last nonzero of the fullest row is lost: a list that was too short."""
    changed = w.clone()
    row = int((w != 0).sum(dim=1).argmax())
    changed[row, w[row].nonzero()[-1]] = 0.0
    return changed


MUTANTS: dict[str, Callable[[Inputs], torch.Tensor]] = {
    "no recurrence": lambda i: steps(i, weights=torch.zeros_like),
    "W transposed": lambda i: steps(i, weights=lambda w: w.T),
    "one column late": _stale,
    "a nonzero lost": lambda i: steps(i, weights=_without_last_nonzero),
    "sums in fp16": _half_precision_sums,
    "weights in fp8": lambda i: steps(
        i, weights=lambda w: w.to(torch.float8_e4m3fn).float()
    ),
    "a rough tanh": lambda i: steps(
        i, activation=lambda a: (a * (27 + a * a) / (27 + 9 * a * a)).clamp(-1, 1)
    ),
    "identity for small": lambda i: steps(
        i, activation=lambda a: torch.where(a.abs() < 0.3, a, torch.tanh(a))
    ),
    "the first state ignored": lambda i: steps({**i, "h0": torch.zeros_like(i["h0"])}),
}  # fmt: skip


@pytest.mark.parametrize("name", MUTANTS)
def test_a_wrong_kernel_is_found_by_some_small_case(task: CudaTask, name: str) -> None:
    assert not all(verdict(task, case, MUTANTS[name]) for case in range(SMALL))


def test_patterns_keep_their_limits_and_change_with_the_seed(task: CudaTask) -> None:
    for case in task.check_cases()[:SMALL]:
        c = case.configuration
        inputs = [task.make_inputs(c, seed, case.distribution)["w"] != 0 for seed in (1, 2, 1)]
        counts = inputs[0].sum(dim=1)
        assert int(counts.max()) <= int(task.names(c)["ROW_MAX"])
        density = float(c.parameters["percent"]) / 100
        assert 0.5 * density < float(inputs[0].float().mean()) < 1.1 * density
        assert torch.equal(inputs[0], inputs[2])
        assert float((inputs[0] & inputs[1]).float().mean()) < 0.6 * density


def test_uneven_rows_include_empty_and_full_ones(task: CudaTask) -> None:
    case = next(c for c in task.check_cases() if c.distribution == "uneven")
    counts = (task.make_inputs(case.configuration, 3, "uneven")["w"] != 0).sum(dim=1)
    assert int(counts.min()) == 0
    assert int(counts.max()) == int(task.names(case.configuration)["ROW_MAX"])


def test_rounding_errors_do_not_grow_with_the_steps(task: CudaTask) -> None:
    c = next(c.configuration for c in task.check_cases() if c.configuration.name == "hidden-1")
    inputs = task.make_inputs(c, 1, "normal")
    error = task.own(c, inputs)["o"].float() - task.reference(c, inputs)["o"]
    by_step = error.square().mean(dim=(1, 2)).sqrt()
    assert float(by_step[-10:].mean()) < 1.5 * float(by_step[:10].mean())


def test_the_future_and_the_other_sequences_are_what_is_changed(task: CudaTask) -> None:
    case = task.check_cases()[1]
    inputs = task.make_inputs(case.configuration, 9, case.distribution)
    change = task.perturb(case.configuration, inputs, 9)
    assert change is not None
    before, after = steps(inputs), steps({**inputs, **change.inputs})
    same = (before == after).all(dim=-1, keepdim=True)
    assert bool((same | ~change.unaffected["o"]).all())
    assert not bool(same.all())


def test_weights_are_the_only_input_that_may_be_prepared(task: CudaTask) -> None:
    specs = task.tensors(task.configurations[0])
    assert [s.name for s in specs if s.weight] == ["w"]


def test_one_configuration_does_not_fit_on_chip_when_dense(task: CudaTask) -> None:
    on_chip = HOPPER.sms * (256 * 1024 + HOPPER.shared_memory)
    dense = [max(t.bytes for t in task.tensors(c) if t.weight) for c in task.configurations]
    assert sum(size > 3 * on_chip for size in dense) == 1


@pytest.mark.parametrize("manifest", VERSIONS, ids=lambda p: p.parent.name)
def test_every_version_has_a_launch_for_every_configuration(task: CudaTask, manifest: Path) -> None:
    plans = plans_for(task, read_candidate(manifest.parent), HOPPER)
    assert len(plans) == len({c.configuration.name for c in task.check_cases()})


def test_the_seed_has_a_launch_for_every_configuration(task: CudaTask) -> None:
    assert plans_for(task, task.seed(), HOPPER)


def test_a_baseline_is_prepared_once_for_each_set_of_weights(task: CudaTask) -> None:
    class Packed(PreparedBaseline):
        def __init__(self) -> None:
            self.seen: list[float] = []

        def prepare(self, configuration: object, inputs: Inputs) -> None:
            self.seen.append(float(inputs["w"].float().abs().sum()))

        def __call__(self, configuration: object, inputs: Inputs) -> Inputs:
            return {"o": inputs["x"]}

    baseline, c = Packed(), task.check_cases()[0].configuration
    for seed in (1, 2):
        prepare_baseline(baseline, c, task.make_inputs(c, seed, "normal"))
    prepare_baseline(lambda *_: {}, c, {})
    assert all(a != b for a, b in pairwise(baseline.seen))
    assert len(baseline.seen) == 2
