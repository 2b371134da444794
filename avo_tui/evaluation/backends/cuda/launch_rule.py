"""What a package makes the launches of new shapes from: the manifest, unresolved, with its cubins.

`package_launch.resolved` reads it.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

from avo_tui.domain.candidate import Candidate
from avo_tui.domain.deployment import Domain
from avo_tui.domain.task import Configuration
from avo_tui.evaluation.backends.cuda.compiled import integer_constants, resolve_plans
from avo_tui.evaluation.backends.cuda.compiler import CompiledCandidate, read_manifest
from avo_tui.evaluation.backends.cuda.launch_plan import DeviceFacts
from avo_tui.evaluation.backends.cuda.manifest import DTYPE_BYTES, Manifest, Param, Stage
from avo_tui.evaluation.backends.cuda.task import CudaTask
from avo_tui.evaluation.domains import draws, sizes_of
from avo_tui.evaluation.ports import EvaluatorError

DRAWS = 200
"""Shapes of the domain that a manifest must allow a launch on before it is exported."""


def rule_of(
    task: CudaTask,
    candidate: Candidate,
    facts: DeviceFacts,
    domain: Domain,
    compiled: CompiledCandidate,
    cubins: Sequence[str],
) -> dict[str, Any]:
    """For one architecture; `cubins` are the files' names of the compiled units. Raises Rejected
    where the manifest cannot be resolved somewhere in the domain, EvaluatorError where the domain
    does not give the manifest's names."""
    drawn = list(itertools.islice(draws(task, domain, seed=1), DRAWS))
    resolve_plans(task, candidate, facts, drawn)
    manifest, _, _ = read_manifest(candidate)
    dtypes = {t.name: t.dtype for t in task.tensors(drawn[0])}
    variants = []
    for index in (*range(len(manifest.variants)), None):
        unit = next((n for n, u in enumerate(compiled.units) if index in u.variants), None)
        if unit is not None:
            form = _variant(manifest, index, dtypes)
            form |= {"cubin": cubins[unit], "symbols": compiled.units[unit].symbols}
            variants.append(form)
    return {
        "multiprocessors": facts.sms,
        "constants": {**integer_constants(candidate), **_constants(task, domain, drawn)},
        "variants": variants,
    }


def _constants(
    task: CudaTask, domain: Domain, drawn: Sequence[Configuration]
) -> dict[str, int | float]:
    """The names that have one value everywhere. Raises EvaluatorError for one that has several and
    is neither a parameter in upper case nor in the domain's `names`."""
    values = [task.names(c) for c in drawn]
    constant = {n: v for n, v in values[0].items() if all(each[n] == v for each in values)}
    for configuration, each in zip(drawn, values, strict=True):
        known = {n.upper(): v for n, v in configuration.parameters.items()}
        known |= {n: sizes_of(domain, (e,), configuration)[0] for n, e in domain.names.items()}
        for name, value in each.items():
            if name not in constant and known.get(name) != value:
                raise EvaluatorError(
                    f"the domain of {task.name} gives {name} as {known.get(name)} for "
                    f"{configuration.parameters}; the task as {value}: add it to its names"
                )
    return constant


def _variant(manifest: Manifest, index: int | None, dtypes: dict[str, str]) -> dict[str, Any]:
    own = None if index is None else manifest.variants[index]
    maps = {**manifest.tensor_maps, **(own.tensor_maps if own else {})}
    workspaces = {**manifest.workspace, **(own.workspace if own else {})}
    items = {name: DTYPE_BYTES[dtype] for name, dtype in dtypes.items()}

    def params(stage: Stage, path: str) -> list[dict[str, Any]]:
        given = manifest.params_of(stage, path)
        return [_param(p, items) for p in (given[0] if given else ())]

    def stages(of: tuple[list[Stage], str]) -> list[dict[str, Any]]:
        return [{**s.model_dump(), "params": params(s, of[1])} for s in of[0]]

    used = {
        p["buffer"]
        for of in (manifest.stages_of(index), manifest.prepare_of(index))
        for stage in stages(of)
        for p in stage["params"]
        if p["kind"] == "map"
    }
    return {
        "when": True if own is None else own.when,
        "macros": {
            n: int(v) for n, v in manifest.macros_of(index).items() if isinstance(v, bool | int)
        },
        "stages": stages(manifest.stages_of(index)),
        "prepare": stages(manifest.prepare_of(index)),
        "maps": {
            name: {
                **m.model_dump(exclude={"tensor"}),
                "buffer": m.tensor,
                "dtype": m.dtype or dtypes[m.tensor],
                "item": DTYPE_BYTES[m.dtype or dtypes[m.tensor]],
            }
            for name, m in maps.items()
            if name in used
        },
        "workspaces": {name: w.model_dump() for name, w in workspaces.items()},
    }


def _param(param: Param, items: dict[str, int]) -> dict[str, Any]:
    kind, value = param.kind, param.model_dump()[param.kind]
    if kind == "map":
        return {"kind": "map", "buffer": value, "value": 0}
    if kind in {"tensor", "workspace"}:
        item = items.get(value, 1) if kind == "tensor" else 1
        return {"kind": "pointer", "buffer": value, "value": param.offset, "item": item}
    return {"kind": kind, "buffer": "", "value": value}
