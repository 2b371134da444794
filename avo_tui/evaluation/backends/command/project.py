"""`avo.toml`: what a repository says about itself, so that its changes can be measured."""

from __future__ import annotations

import hashlib
import json
import re
import secrets
import tomllib
from functools import cached_property
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, ValidationError, field_validator, model_validator

from avo_tui.domain.task import Configuration
from avo_tui.evaluation.backends.command.formats import FORMATS, Metric, Section
from avo_tui.evaluation.ports import EvaluatorError

FILE = "avo.toml"
_SLUG = re.compile(r"[^A-Za-z0-9._-]+")
_TIMES = ("ns", "us", "ms", "s")
SEED = "{seed}"
"""In a command: a number that is new in each round, and the same for candidate and base."""

Command = Annotated[str, Field(min_length=1, max_length=4000)]
Seconds = Annotated[float, Field(gt=0, le=86_400)]


class About(Section):
    title: str = Field(min_length=1, max_length=200)
    name: str | None = Field(default=None, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")
    base: str = Field(min_length=4, max_length=100)
    """A commit, or `sha256:…` of a folder without git."""
    editable: tuple[str, ...] = Field(min_length=1)
    exclude: tuple[str, ...] = ()
    """Left out of the base altogether, such as large data that nothing needs."""
    goal: str = Field(default="", max_length=20_000)


class Build(Section):
    """How a tree is built; without a command nothing is."""

    command: str = Field(default="", max_length=4000)
    fresh: bool = False
    """Whether a candidate is built from nothing, where the command would not notice all changes."""
    network: bool = False
    """Whether the base's first build may use the network, to fetch what it needs."""
    seconds: Seconds = 1200

    @model_validator(mode="after")
    def _fetched_once(self) -> Build:
        if self.fresh and self.network:
            raise ValueError(
                "only the base's first build may fetch, so fresh = true has nothing to build from;"
                " leave network or fresh out"
            )
        return self


class Test(Section):
    command: Command
    hidden: str = ""
    """A folder of the person's that no candidate and no agent sees."""
    hidden_command: str = Field(default="", max_length=4000)
    """Run where the hidden folder lies as `hidden_tests`."""
    seconds: Seconds = 1200


class Benchmark(Section):
    command: Command
    format: str
    metrics: tuple[Metric, ...] = ()
    output: str = ""
    """A file or folder of the tree that holds the results; empty for the command's output."""
    unit: str = Field(default="", max_length=30)
    better: Literal["", "lower", "higher"] = ""
    cores: int = Field(default=1, ge=0, le=4096)
    """Processor cores that it is kept to; 0 for all."""
    device: Literal["cpu", "cuda"] = "cpu"
    seconds: Seconds = 600

    @field_validator("format")
    @classmethod
    def _known(cls, name: str) -> str:
        if name not in FORMATS:
            raise ValueError(f"there is no format {name!r}; there is {', '.join(FORMATS)}")
        return name

    @field_validator("metrics", mode="before")
    @classmethod
    def _named(cls, metrics: object) -> object:
        if not isinstance(metrics, (list, tuple)):
            return metrics
        return [{"name": m} if isinstance(m, str) else m for m in metrics]

    @model_validator(mode="after")
    def _directions(self) -> Benchmark:
        if not FORMATS[self.format].times:
            for metric in self.metrics:
                if not (metric.unit or self.unit):
                    raise ValueError(f'say the unit of {metric.name}: unit = "ms", for example')
                if not self.direction(metric):
                    raise ValueError(
                        f'say whether less of {metric.name} is better: better = "lower" or "higher"'
                    )
                if self.format == "regex" and not metric.pattern:
                    raise ValueError(f"{metric.name} needs a pattern, a regular expression")
        return self

    def unit_of(self, metric: Metric) -> str:
        if FORMATS[self.format].times and not metric.field:
            return metric.unit or self.unit or "ms"
        return metric.unit or self.unit or ("/s" if "per_second" in metric.field else "")

    def direction(self, metric: Metric) -> str:
        """`lower` or `higher`; empty where nothing says it."""
        told = metric.better or self.better
        if told:
            return told
        if metric.field:
            return "higher" if "per_second" in metric.field else "lower"
        return "lower" if self.unit_of(metric) in _TIMES else ""


class Outputs(Section):
    """What must come out of a command as it does on the base."""

    command: Command
    files: tuple[str, ...] = ()
    """Files of the tree that it writes; without one, what it prints."""
    compare: Literal["exact", "allclose"] = "exact"
    rtol: float = Field(default=1e-5, ge=0)
    atol: float = Field(default=1e-8, ge=0)
    seconds: Seconds = 600


class Environment(Section):
    """What the commands find beside the system's own programs."""

    path: tuple[str, ...] = ()
    """Folders of programs, such as that of a Python environment."""
    read: tuple[str, ...] = ()
    """Further folders that may be read."""
    variables: dict[str, str] = Field(default_factory=dict)


class Bounds(Section):
    memory_gb: float = Field(default=8, gt=0)
    disk_gb: float = Field(default=8, gt=0)
    processes: int = Field(default=512, ge=1)


class Project(Section):
    project: About
    build: Build = Build()
    test: Test
    benchmark: Benchmark
    outputs: Outputs | None = None
    environment: Environment = Environment()
    limits: Bounds = Bounds()

    @property
    def grants(self) -> tuple[str, ...]:
        """What goes beyond the sandbox, as sentences that a person agrees to."""
        granted = [f"reads {path}" for path in (*self.environment.path, *self.environment.read)]
        if self.build.network:
            granted.append("uses the network for the base's first build")
        if self.benchmark.device == "cuda":
            granted.append("uses the GPU")
        return tuple(granted)

    @property
    def unshown(self) -> str:
        """What no measurement can show where a candidate may know the benchmark's inputs."""
        if SEED in self.benchmark.command:
            return ""
        return "the benchmark's inputs are the same each time: a gain on others is not shown"

    @cached_property
    def configurations(self) -> tuple[Configuration, ...]:
        """The metrics as what a candidate is scored on, under names that every part takes."""
        taken: dict[str, Configuration] = {}
        for metric in self.benchmark.metrics:
            slug = (_SLUG.sub("-", metric.name).strip("-._") or "metric")[-60:].lstrip("-._")
            name, number = slug, 2
            while name in taken:
                name, number = f"{slug}-{number}", number + 1
            unit, better = self.benchmark.unit_of(metric), self.benchmark.direction(metric)
            told = {"metric": metric.name} if metric.name != name else {}
            taken[name] = Configuration(
                name=name, parameters={**told, "unit": unit, "better": better}
            )
        return tuple(taken.values())

    @property
    def unit(self) -> str:
        """The unit of all metrics where it is one; otherwise scores are multiples of the base's."""
        kinds = {
            (self.benchmark.unit_of(m), self.benchmark.direction(m)) for m in self.benchmark.metrics
        }
        if len(kinds) != 1:
            return "× base"
        unit, better = kinds.pop()
        return unit if (better == "lower") == (unit in _TIMES) else f"{unit} ↓"

    def key(self) -> str:
        """Changes with whatever decides what a measurement means."""
        what = self.model_dump(mode="json", exclude={"project": {"title", "goal", "name"}})
        return hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()


def seeded(command: str, seed: int = 1) -> str:
    """A command for inputs made from this seed."""
    return command.replace(SEED, str(seed))


def fresh_seed() -> int:
    """A seed that no candidate can know beforehand."""
    return secrets.randbelow(2**31 - 1) + 1


def read_project(folder: Path) -> Project:
    """The `avo.toml` of a folder. Raises EvaluatorError with one sentence."""
    path = folder / FILE
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise EvaluatorError(f"{folder} has no {FILE}; avo adopt {folder} proposes one") from None
    except (OSError, UnicodeDecodeError) as error:
        raise EvaluatorError(f"{path} cannot be read: {error}") from error
    return parse_project(text, str(path))


def parse_project(text: str, where: str) -> Project:
    """The project of a text. Raises EvaluatorError with one sentence."""
    try:
        return Project.model_validate(tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise EvaluatorError(f"{where} is not TOML: {error}") from error
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        reason = first["msg"].removeprefix("Value error, ")
        raise EvaluatorError(f"{where}: {field + ': ' if field else ''}{reason}") from error
