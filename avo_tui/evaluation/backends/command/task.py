"""A repository as a task: its editable files are the candidate, its metrics the configurations."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from avo_tui.domain.candidate import Candidate
from avo_tui.domain.repository import MEASURED_BY
from avo_tui.domain.task import Configuration, TaskInfo
from avo_tui.evaluation.backends.command import store
from avo_tui.evaluation.backends.command.base import Base, take_base
from avo_tui.evaluation.backends.command.formats import FORMATS
from avo_tui.evaluation.backends.command.project import FILE, SEED, Project
from avo_tui.evaluation.measurement.cases import CheckCase
from avo_tui.evaluation.ports import EvaluatorError
from avo_tui.evaluation.task import Task

if TYPE_CHECKING:
    from avo_tui.evaluation.task import Baseline, Tensors

LANGUAGE = "repository"
BASE = "base"
"""The baseline that all scores are relative to."""
_SHOWN = 60
"""Editable files that the description lists one by one."""


class RepositoryTask(Task):
    """What is measured of a repository. It has no tensors: the project's own commands judge."""

    language = LANGUAGE
    reference_baseline = BASE
    baseline_names = (BASE,)

    def __init__(self, name: str, folder: Path, project: Project, base: Base) -> None:
        self.folder = folder
        self.project = project
        self.base = base
        self._seed = base.seed(project.project.editable)
        self.__dict__.update(  # what a kernel's task says in its class
            name=name,
            title=project.project.title,
            unit=project.unit or "1",
            device=project.benchmark.device,
            description=_description(project, base, self._seed.files),
        )

    @property
    def configurations(self) -> tuple[Configuration, ...]:
        return self.project.configurations

    def seed(self) -> Candidate:
        return self._seed

    def check_cases(self) -> tuple[CheckCase, ...]:
        return ()

    def make_inputs(self, configuration: Configuration, seed: int, distribution: str) -> Tensors:
        raise EvaluatorError("a repository has no inputs of ours: its own benchmark makes them")

    def outputs(self, configuration: Configuration) -> dict[str, tuple[tuple[int, ...], str]]:
        return {}

    def reference(self, configuration: Configuration, inputs: Tensors) -> Tensors:
        return {}

    def baselines(self) -> Mapping[str, Baseline]:
        return {}

    def flops(self, configuration: Configuration) -> float:
        return 0.0

    def info(self) -> TaskInfo:
        info = super().info()
        return info.replaced(
            seed_files=info.seed_files if len(info.seed_files) <= _SHOWN else (),
            tree=str(self.base.tree),
            editable=self.project.project.editable,
            measured_by=MEASURED_BY,
        )


def load_repository(name: str) -> RepositoryTask:
    """The task of an adopted repository. Raises EvaluatorError with one sentence."""
    folder, project = store.load(name)
    if not project.benchmark.metrics:
        raise EvaluatorError(
            f"{folder}/{FILE} names no metrics; avo adopt {folder} --check runs the benchmark and"
            " writes down what it reports"
        )
    return RepositoryTask(name, folder, project, take_base(folder, project))


def _description(project: Project, base: Base, files: Mapping[str, str]) -> str:
    about = project.project
    lines = [about.goal.strip() or "Make the benchmark below faster; behaviour stays the same.", ""]
    lines.append(
        f"The candidate is a change to a repository of {len(base.files)} files: of the"
        f" {len(files)} under {', '.join(f'`{p}`' for p in about.editable)}. Files may be added"
        " and deleted there. Everything else is put back from the base before each stage and is"
        " read-only; tests, benchmarks and what steers the build belong to it."
    )
    lines += ["", "Editable files:", "", *_map(files)]
    commands = {"build": project.build.command, "test": project.test.command,
                "benchmark": project.benchmark.command}  # fmt: skip
    benchmark = project.benchmark
    formed = FORMATS[benchmark.format].one_of
    lines += ["", "One run of the benchmark gives one number for each metric:", ""]
    for metric in benchmark.metrics:
        told = formed.format(path=metric.path or metric.name, pattern=metric.pattern)
        field = f", field `{metric.field}`" if metric.field else ""
        better = f"{benchmark.unit_of(metric)}, {benchmark.direction(metric)} is better"
        lines.append(f"- `{metric.name}`{field}: {told} ({better})")
    lines += ["", "Commands, run in a sandbox without network:", ""]
    lines += [f"- {name}: `{command}`" for name, command in commands.items() if command]
    lines += [
        "",
        f"Scores are {MEASURED_BY} (format {project.benchmark.format}), candidate and base in"
        " turn, in fresh processes; the time of the whole command is taken beside them, and a"
        " metric that improves while that says it cannot have is suspicious. The tests must pass"
        + (", those of a hidden folder too" if project.test.hidden else "")
        + ("; what the outputs command yields must stay the same" if project.outputs else "")
        + (f". `{SEED}` is another number in each round" if SEED in benchmark.command else "")
        + ".",
    ]
    return "\n".join(lines)


def _map(files: Mapping[str, str]) -> list[str]:
    """The files with their lines; of many, the folders with their number of files."""
    if len(files) <= _SHOWN:
        return [f"- `{n}`, {len(text.splitlines())} lines" for n, text in files.items()]
    folders = Counter(str(Path(name).parent) for name in files)
    rows = [f"- `{folder}/`, {count} files" for folder, count in folders.most_common(_SHOWN)]
    rest = len(folders) - len(rows)
    return [*rows, *([f"- {rest} more folders"] if rest > 0 else [])]
