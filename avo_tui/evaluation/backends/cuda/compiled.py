"""A compiled candidate with its launches planned for every configuration of the task."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any

from avo_tui.domain import tunables
from avo_tui.domain.candidate import Candidate
from avo_tui.domain.report import Resources
from avo_tui.domain.task import Configuration
from avo_tui.domain.verdict import Verdict
from avo_tui.evaluation.backends.base import Compiled, Rejected, refused
from avo_tui.evaluation.backends.cuda.compiler import (
    CompiledCandidate,
    manifest_refused,
    read_manifest,
)
from avo_tui.evaluation.backends.cuda.launch_plan import DeviceFacts, LaunchPlan
from avo_tui.evaluation.backends.cuda.manifest import Issue, Manifest, ManifestError
from avo_tui.evaluation.backends.cuda.resolve import Origin, resolve
from avo_tui.evaluation.backends.cuda.task import CudaTask
from avo_tui.evaluation.measurement import verdicts


@dataclass(frozen=True)
class CudaCompiled(Compiled):
    """A compiled candidate with the plans for every configuration of its task."""

    unit: CompiledCandidate
    facts: DeviceFacts
    plans: Mapping[str, LaunchPlan]

    def launch(self, configuration: Configuration) -> dict[str, Any]:
        """What the GPU process needs to launch it on a configuration."""
        plan = self.plans[configuration.name]
        unit = self.unit.units.index(self.unit.unit_of(plan.variant))
        return {"unit": unit, "plan": plan.model_dump()}


def plans_for(task: CudaTask, candidate: Candidate, facts: DeviceFacts) -> dict[str, LaunchPlan]:
    """A plan for every configuration, scored and checked, by name. Raises Rejected."""
    return resolve_plans(task, candidate, facts, *every_configuration(task))


def every_configuration(task: CudaTask) -> tuple[list[Configuration], frozenset[str]]:
    """(configurations that are scored or checked, names of the hidden ones among them).

    Public ones come first, because their failures are reported in full.
    """
    public = public_names(task)
    wanted = {c.name: c for c in task.configurations}
    for case in task.check_cases():
        wanted.setdefault(case.configuration.name, case.configuration)
    ordered = sorted(wanted.values(), key=lambda c: c.name not in public)
    return ordered, frozenset(wanted.keys() - public)


def _few_enough(task: CudaTask, manifest: Manifest, file: str) -> None:
    """Raises ManifestError for more launches in one run than the task allows."""
    for variant in (None, *range(len(manifest.variants))):
        stages, path = manifest.stages_of(variant)
        if len(stages) > task.most_launches:
            reason = f"{len(stages)} launches; this task allows {task.most_launches}"
            raise ManifestError([Issue(path=path, line=None, reason=reason)], file)


def resolve_plans(
    task: CudaTask,
    candidate: Candidate,
    facts: DeviceFacts,
    configurations: Sequence[Configuration],
    hidden: Set[str] = frozenset(),
) -> dict[str, LaunchPlan]:
    """Configuration → plan, in the given order. Raises Rejected, without numbers for `hidden`
    ones."""
    try:
        manifest, text, file = read_manifest(candidate)
        _few_enough(task, manifest, file)
    except ManifestError as error:
        raise manifest_refused(error) from error
    constants = integer_constants(candidate)
    plans = {}
    for configuration in configurations:
        name = configuration.name
        try:
            plans[name] = resolve(
                manifest,
                task.names(configuration),
                task.tensors(configuration),
                facts,
                constants,
                Origin(text, file, name),
            )
        except ManifestError as error:
            if name in hidden:
                raise hidden_refusal(f"{file}: {error.issues[0].path}") from None
            raise manifest_refused(error, name) from error
    return plans


def public_names(task: CudaTask) -> frozenset[str]:
    """Names of the public configurations: scored ones, and checked ones that are not hidden."""
    checked = (c.configuration.name for c in task.check_cases() if not c.hidden)
    return frozenset({*(c.name for c in task.configurations), *checked})


def hidden_refusal(where: str) -> Rejected:
    """The rejection for a launch that a hidden configuration does not allow; tells no number."""
    rejection = refused(
        Verdict.MANIFEST_ERROR,
        f"{where} cannot be launched on a hidden configuration",
        hint=verdicts.ANY_SHAPE,
    )
    rejection.silent = True
    return rejection


def integer_constants(candidate: Candidate) -> dict[str, int]:
    """The integer tunables of the source: the manifest's expressions know them too."""
    constants = {}
    for tunable in tunables.parse(candidate):
        with contextlib.suppress(ValueError):
            constants[tunable.name] = int(tunable.token, 0)
    return constants


def with_dynamic(
    unit: CompiledCandidate,
    plans: Mapping[str, LaunchPlan],
    facts: DeviceFacts,
    public: frozenset[str],
) -> Resources:
    """The resources with the most dynamic shared memory of the `public` launches added."""
    most = 0
    for name, plan in plans.items():
        compiled = unit.unit_of(plan.variant)
        for stage in plan.launches:
            static = compiled.image.kernels[compiled.symbols[stage.entry]].static_shared
            total = static + stage.shared_memory
            if total > facts.shared_memory and name not in public:
                raise hidden_refusal(f"{unit.manifest_file}: {stage.path}.shared_memory")
            if total > facts.shared_memory:
                raise refused(
                    Verdict.MANIFEST_ERROR,
                    f"{unit.manifest_file}: {stage.path}.shared_memory: "
                    f"{stage.shared_memory} bytes and {static} static ones are more than the "
                    f"{facts.shared_memory} that a block can have",
                    unit.resources,
                    configuration=name,
                )
            if name in public:
                most = max(most, total)
    return unit.resources.model_copy(update={"shared_memory": most})
