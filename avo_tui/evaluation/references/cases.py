"""The check cases of a derived task: they follow from what was derived alone."""

from __future__ import annotations

from avo_tui.domain.task import Configuration
from avo_tui.evaluation.measurement.cases import CheckCase
from avo_tui.evaluation.references.distributions import DISTRIBUTIONS
from avo_tui.evaluation.references.independence import telling_case
from avo_tui.evaluation.references.spec import ABOVE, Case, ReferenceSpec

_ODD = "other sizes than those that are scored"
_ABOVE = "sizes above those that are scored"


def configuration_of(case: Case) -> Configuration:
    """A choice of sizes as a configuration of the task."""
    return Configuration(name=case.name, parameters=dict(case.sizes))


def reference_cases(spec: ReferenceSpec) -> tuple[CheckCase, ...]:
    """Odd sizes first, hidden; then what is scored, with every distribution."""
    perturbed = _perturbed_case(spec)
    kinds = spec.distributions
    above = [case for case in spec.hidden if case.name.startswith(ABOVE)]
    odd = [case for case in spec.hidden if case not in above]
    cases = [
        CheckCase(
            configuration_of(case),
            kinds[index % len(kinds)],
            hidden=True,
            category=_ODD if index % len(kinds) == 0 else DISTRIBUTIONS[kinds[index % len(kinds)]],
            repeat=index == 0,
            perturb=case.name == perturbed,
        )
        for index, case in enumerate(sorted(odd, key=lambda c: c.flops))
    ]
    cases += [
        CheckCase(configuration_of(case), "normal", hidden=True, category=_ABOVE) for case in above
    ]
    smallest = min(spec.scored, key=lambda case: case.flops)
    cases += [
        CheckCase(
            configuration_of(smallest),
            kind,
            hidden=kind != "normal",
            category=DISTRIBUTIONS[kind] if kind != "normal" else "",
        )
        for kind in kinds
    ]
    cases += [
        CheckCase(configuration_of(case), "normal", repeat=True, perturb=case.name == perturbed)
        for case in spec.scored
    ]
    return tuple(cases)


def _perturbed_case(spec: ReferenceSpec) -> str:
    """Name of the cheapest case with two slices along the independent axis; hidden first."""
    if spec.independent is None:
        return ""
    groups = [sorted(group, key=lambda c: c.flops) for group in (spec.hidden, spec.scored)]
    case = telling_case(groups[0] + groups[1], spec.independent.axis)
    return case.name if case is not None else ""
