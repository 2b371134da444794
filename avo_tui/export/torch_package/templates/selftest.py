"""Compares this package's kernel with what the reference computed when the package was made.

    python -m PACKAGE.selftest

runs every shape once on random inputs (outputs must be finite and the same in two runs), and the
smallest shape on inputs whose outputs are known, within the error that the kernel's task allows.
With avo-tui installed every shape is compared with the reference. Exit status: 0 if all hold.
"""

from __future__ import annotations

import sys
from typing import Any

import torch

from .operator_of import FACTS, HERE, SETTINGS, SHAPES, operator


def _settings(shape: dict[str, Any]) -> list[Any]:
    return [shape["parameters"][s["name"]] for s in SETTINGS]


def _outputs(shape: dict[str, Any], inputs: dict[str, torch.Tensor]) -> list[torch.Tensor]:
    result = operator(*(inputs[t["name"]] for t in shape["inputs"]), *_settings(shape))
    return list(result) if isinstance(result, tuple | list) else [result]


def compare_sample() -> str:
    """What is wrong on the sample; empty where nothing is."""
    path = HERE / "sample.pt"
    if not path.exists():
        return ""
    sample = torch.load(path, weights_only=True)
    shape = next(s for s in SHAPES if s["name"] == FACTS["sample_shape"])
    device = FACTS["device"]
    inputs = {t["name"]: sample[f"input.{t['name']}"].to(device) for t in shape["inputs"]}
    for spec, output in zip(shape["outputs"], _outputs(shape, inputs), strict=True):
        name = spec["name"]
        got, expected = output.cpu(), sample[f"expected.{name}"]
        limit = sample.get(f"limit.{name}")
        if limit is None:
            wrong = got != expected
        else:
            wrong = ~((got.double() - expected.double()).abs() <= limit.double())
        if bool(wrong.any()):
            return f"{int(wrong.sum())} of {wrong.numel()} elements of {name} are wrong"
    return ""


def run_twice(shape: dict[str, Any]) -> str:
    """What is wrong in two runs on the same random inputs; empty where nothing is."""
    device = FACTS["device"]
    generator = torch.Generator().manual_seed(1)
    inputs = {}
    for spec in shape["inputs"]:
        drawn = torch.randn(spec["shape"], generator=generator)
        inputs[spec["name"]] = drawn.to(getattr(torch, spec["dtype"])).to(device)
    first, second = _outputs(shape, inputs), _outputs(shape, inputs)
    for spec, one, other in zip(shape["outputs"], first, second, strict=True):
        if one.is_floating_point() and not bool(one.isfinite().all()):
            return f"{spec['name']} is not finite"
        if not torch.equal(one, other):
            return f"{spec['name']} differs between two runs"
    return ""


def compare_with_reference() -> dict[str, str]:
    """Shape → what is wrong, by the task's own reference; needs avo-tui and the task."""
    from avo_tui.domain.task import Configuration
    from avo_tui.evaluation.measurement.judge import expect, judge
    from avo_tui.evaluation.tasks import find_tasks

    task = find_tasks().get(FACTS["task"])
    wrong = {}
    for shape in SHAPES:
        configuration = Configuration(name=shape["name"], parameters=shape["parameters"])
        inputs = task.make_inputs(configuration, 7, task.timed[0])
        reference, own = task.reference(configuration, inputs), task.own(configuration, inputs)
        device = FACTS["device"]
        outputs = _outputs(shape, {n: t.to(device) for n, t in inputs.items()})
        for spec, output in zip(shape["outputs"], outputs, strict=True):
            name = spec["name"]
            expected = expect(reference[name], own[name], task.tolerance_of(name))
            judgement = judge(name, output.to(own[name].device), expected)
            if not judgement.ok:
                wrong[shape["name"]] = judgement.detail
    return wrong


def main() -> int:
    """Prints a line for each comparison; 1 where any fails."""
    failures = 0

    def say(what: str, wrong: str) -> None:
        nonlocal failures
        failures += bool(wrong)
        print(f"{'FAILED' if wrong else 'ok':>6}  {what}{': ' + wrong if wrong else ''}")

    if FACTS["sample_shape"]:
        say(f"{FACTS['sample_shape']} against known outputs", compare_sample())
    for shape in SHAPES:
        say(f"{shape['name']} twice", run_twice(shape))
    try:
        wrong = compare_with_reference()
    except ImportError:
        print("        (with avo-tui installed, every shape is compared with the reference)")
    else:
        for shape in SHAPES:
            say(f"{shape['name']} against the reference", wrong.get(shape["name"], ""))
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
