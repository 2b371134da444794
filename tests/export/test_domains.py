"""Packages take every shape of their task's domain, and say what is outside it."""

import itertools
import json
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("cuda.bindings")

from avo_tui.domain.deployment import Domain  # noqa: E402
from avo_tui.domain.task import Configuration  # noqa: E402
from avo_tui.evaluation.backends.cuda import package_launch  # noqa: E402
from avo_tui.evaluation.backends.cuda.compiled import resolve_plans  # noqa: E402
from avo_tui.evaluation.backends.cuda.compiler import read_manifest  # noqa: E402
from avo_tui.evaluation.backends.cuda.launch_plan import DeviceFacts  # noqa: E402
from avo_tui.evaluation.backends.cuda.launch_rule import rule_of  # noqa: E402
from avo_tui.evaluation.backends.cuda.task import CudaTask  # noqa: E402
from avo_tui.evaluation.domains import FILE, domain_of, draws, holds, sizes_of  # noqa: E402
from avo_tui.evaluation.ports import EvaluatorError  # noqa: E402
from avo_tui.evaluation.tasks import find_tasks  # noqa: E402
from avo_tui.store import SessionReader  # noqa: E402

SESSIONS = Path(__file__).parents[2] / "sessions"
HOPPER = DeviceFacts.of_architecture("sm_90a")


def shape_of(domain: Domain, task: CudaTask, configuration: Configuration) -> dict[str, Any]:
    """What a package makes of a call with these sizes."""
    dtypes = {t.name: t.dtype for t in task.tensors(configuration)}
    tensors = {
        kind: [
            {"name": n, "dtype": dtypes[n], "shape": list(sizes_of(domain, d, configuration))}
            for n, d in dims.items()
        ]
        for kind, dims in (("inputs", domain.inputs), ("outputs", domain.outputs))
    }
    names = {n.upper(): v for n, v in configuration.parameters.items()}
    names |= {n: sizes_of(domain, (e,), configuration)[0] for n, e in domain.names.items()}
    return {**tensors, "launch": {"names": names}}


@pytest.mark.parametrize("session", ["mha-hopper", "mha-hopper-agents", "gqa-hopper"])
def test_a_package_launches_a_new_shape_as_the_harness_would(session: str) -> None:
    """For drawn sizes, the numbers worked out from the rule are those of the manifest's check."""
    reader = SessionReader.open(SESSIONS / session)
    task = find_tasks().get(reader.state.session.task.name)
    best = reader.state.best
    assert isinstance(task, CudaTask) and best is not None
    candidate, domain = reader.candidate(best.candidate), domain_of(task)
    assert domain is not None
    count = len(read_manifest(candidate)[0].variants)
    unit = SimpleNamespace(variants=(*range(count), None), symbols={})
    compiled: Any = SimpleNamespace(units=[unit])
    rule = rule_of(task, candidate, HOPPER, domain, compiled, ["a.cubin"])
    rule = json.loads(json.dumps(rule))
    configurations = list(itertools.islice(draws(task, domain, seed=7), 100))
    plans = resolve_plans(task, candidate, HOPPER, configurations)
    for configuration in configurations:
        found = package_launch.resolved(rule, shape_of(domain, task, configuration))
        wanted = plans[configuration.name].model_dump(mode="json")
        assert found["maps"].keys() == wanted["maps"].keys()
        for name, tensor_map in wanted["maps"].items():
            assert {n: found["maps"][name][n] for n in tensor_map} == tensor_map
        assert found["workspaces"] == wanted["workspaces"]
        for kind in ("prepare", "stages"):
            for one, other in zip(found[kind], wanted[kind], strict=True):
                own = one.pop("params")
                for param, same in zip(own, other.pop("params"), strict=True):
                    same = {n: v for n, v in same.items() if n not in {"data", "addresses"}}
                    assert {n: param[n] for n in same} == same
                del other["path"]
                assert {n: one[n] for n in other} == other


@pytest.mark.parametrize("task", ["mha_forward", "gqa_forward", "attention_cpu"])
def test_draws_are_in_the_domain_and_of_all_orders(task: str) -> None:
    found = find_tasks().get(task)
    domain = domain_of(found)
    assert domain is not None
    drawn = list(itertools.islice(draws(found, domain, seed=3), 300))
    assert all(holds(domain, c.parameters) for c in drawn)
    length = "seq" if "seq" in domain.sizes else "sequence"
    least, greatest = domain.sizes[length][:2]
    lengths = sorted(int(c.parameters[length]) for c in drawn)
    assert lengths[0] < 8 * least and lengths[-1] > greatest / 8
    assert len(set(lengths)) > 40


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("seq = [128, 32768, 128]", "seq = [128, 16384]"), "leaves out the configuration"),
        (('o = ["batch", "seq", "heads", 128]', 'o = ["seq"]'), "gives the outputs of"),
        (("kv_heads == heads", "kv_heads == hats"), "hats"),
        (("[sizes]", "[sizes]\nrows = [1, 2]"), "rows is a dimension of no input"),
        (("[sizes]", "[size]"), "cannot be read as a domain"),
        (("[sizes]", "[sizes"), "cannot be read as a domain"),
    ],
)
def test_a_domain_that_contradicts_its_task_is_refused(
    change: tuple[str, str], words: str, tmp_path: Path
) -> None:
    task = find_tasks().get("mha_forward")
    path = tmp_path / "mine.toml"
    path.write_text((task.folder / FILE).read_text().replace(*change))
    with pytest.raises(EvaluatorError, match=re.escape(words)):
        domain_of(task, path)
    with pytest.raises(EvaluatorError, match=r"none\.toml cannot be read as a domain"):
        domain_of(task, tmp_path / "none.toml")
