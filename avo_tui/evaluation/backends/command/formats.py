"""Readers of what benchmarks print: one function a format, and a registry of them."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import fmean, median
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

_SECONDS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0}


class Section(BaseModel):
    """A part of `avo.toml`: nothing in it may be misspelt."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Metric(Section):
    """One number that the benchmark reports."""

    name: str = Field(min_length=1, max_length=200)
    field: str = ""
    """Another field of that benchmark than its time, such as `items_per_second`."""
    path: str = ""
    """With `json`: where the number is, such as `results.0.mean`."""
    pattern: str = ""
    """With `regex`: its first group is the number."""
    unit: str = Field(default="", max_length=30)
    better: Literal["", "lower", "higher"] = ""

    @property
    def key(self) -> str:
        """What its number is called among those of a run: one benchmark may count by several."""
        return f"{self.name}:{self.field}" if self.field else self.name

    @model_validator(mode="after")
    def _pattern(self) -> Metric:
        if self.pattern:
            try:
                groups = re.compile(self.pattern, re.MULTILINE).groups
            except re.error as error:
                raise ValueError(
                    f"the pattern of {self.name} is no regular expression: {error}"
                ) from error
            if groups < 1:
                raise ValueError(f"the pattern of {self.name} needs a group around the number")
        return self


class UnreadableError(ValueError):
    """The output is not what the format says; the text is a sentence."""


@dataclass(frozen=True)
class Reading:
    """One number of one run. Times are in seconds."""

    value: float
    accounted: float = 0.0
    """Seconds of the run that the benchmark says it measured for this; 0 where it does not say."""
    fields: Mapping[str, float] = field(default_factory=dict)
    """Further numbers beside its time, such as `items_per_second`."""


@dataclass(frozen=True)
class Given:
    text: str
    folder: Path | None
    seconds: float
    """Time of the whole command by our own clock."""
    metrics: Sequence[Metric] = ()


Reader = Callable[[Given], Mapping[str, Reading]]


@dataclass(frozen=True)
class Format:
    """How one kind of benchmark reports."""

    read: Reader
    """Every number that is there, by the metric's name. Raises UnreadableError."""
    one_of: str
    """How one number is formed of what a run reports of a metric."""
    output: str = ""
    """File or folder that `avo adopt` lets the results be written to; empty for the output."""
    option: str = ""
    """Option that `avo adopt` adds to the command for it."""
    times: bool = True
    """Whether its plain metrics are times."""


def _document(given: Given) -> Any:
    """The JSON document of an output; what a program prints around it is left out."""
    text = given.text.strip()
    if not text:
        raise UnreadableError("the benchmark printed nothing")
    try:
        return json.loads(text)
    except ValueError:
        start, end = text.find("{"), text.rfind("}")
        try:
            return json.loads(text[start : end + 1])
        except ValueError:
            raise UnreadableError(f"the benchmark's output is not JSON: {text[:80]!r}") from None


def _items(document: Any, key: str) -> list[dict[str, Any]]:
    items = document.get(key) if isinstance(document, dict) else None
    if not isinstance(items, list):
        raise UnreadableError(f"the benchmark's JSON has no list {key!r}")
    return [item for item in items if isinstance(item, dict)]


def _number(value: Any, what: str) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        try:
            value = float(value)
        except (TypeError, ValueError):
            raise UnreadableError(f"{what} is {str(value)[:60]!r}, which is no number") from None
    return float(value)


def _google(given: Given) -> dict[str, Reading]:
    runs: dict[str, list[Reading]] = {}
    for item in _items(_document(given), "benchmarks"):
        if item.get("run_type", "iteration") != "iteration":
            continue
        name = str(item.get("run_name") or item.get("name"))
        if item.get("error_occurred"):
            raise UnreadableError(
                f"{name} reports an error: {str(item.get('error_message'))[:200]}"
            )
        unit = _SECONDS.get(str(item.get("time_unit", "ns")), 1e-9)
        seconds = _number(item.get("real_time"), f"the time of {name}") * unit
        count = _number(item.get("iterations", 0), f"the iterations of {name}")
        fields = {
            key: value * unit if key == "cpu_time" else value
            for key, value in item.items()
            if isinstance(value, float) and key != "real_time"
        }
        runs.setdefault(name, []).append(Reading(seconds, seconds * count, fields))
    return {name: _repeated(readings) for name, readings in runs.items()}


def _repeated(runs: Sequence[Reading]) -> Reading:
    shared = set[str].intersection(*(set(run.fields) for run in runs))
    return Reading(
        median(run.value for run in runs),
        sum(run.accounted for run in runs),
        {name: median(run.fields[name] for run in runs) for name in shared},
    )


def _pytest(given: Given) -> dict[str, Reading]:
    results = {}
    for item in _items(_document(given), "benchmarks"):
        stats = item.get("stats") or {}
        name = str(item.get("name"))
        calls = _number(stats.get("iterations", 1), name)
        total = _number(stats.get("total", 0.0), name) * calls
        results[name] = Reading(_number(stats.get("median"), f"the median of {name}"), total)
    return results


def _pyperf(given: Given) -> dict[str, Reading]:
    document = _document(given)
    shared = document.get("metadata", {}) if isinstance(document, dict) else {}
    results = {}
    for item in _items(document, "benchmarks"):
        about = {**shared, **(item.get("metadata") or {})}
        values, spent = [], 0.0
        for run in item.get("runs", []):
            own = {**about, **(run.get("metadata") or {})}
            loops = float(own.get("loops", 1)) * float(own.get("inner_loops", 1))
            mine = [_number(value, "a value of pyperf") for value in run.get("values", [])]
            values += mine
            spent += sum(mine) * loops
            spent += sum(float(n) * float(v) for n, v in run.get("warmups") or [])
        if values:
            results[str(about.get("name", "benchmark"))] = Reading(median(values), spent)
    return results


def _criterion(given: Given) -> dict[str, Reading]:
    if given.folder is None:
        raise UnreadableError('criterion writes a folder: output = "target/criterion"')
    results = {}
    for path in sorted(given.folder.rglob("new/estimates.json")):
        try:
            about = json.loads((path.parent / "benchmark.json").read_text(encoding="utf-8"))
            estimates = json.loads(path.read_text(encoding="utf-8"))
            sample = json.loads((path.parent / "sample.json").read_text(encoding="utf-8"))
            value = estimates["median"]["point_estimate"] * 1e-9
            results[str(about["full_id"])] = Reading(value, sum(sample["times"]) * 1e-9)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise UnreadableError(
                f"{path.parent.parent.name}: criterion's files: {error}"
            ) from error
    return results


def _nvbench(given: Given) -> dict[str, Reading]:
    results = {}
    for item in _items(_document(given), "benchmarks"):
        for state in item.get("states") or []:
            if state.get("is_skipped"):
                continue
            told = {s.get("tag"): s for s in state.get("summaries") or []}
            for tag in ("nv/cold/time/gpu/mean", "nv/batch/time/gpu/mean"):
                data = {d.get("name"): d.get("value") for d in told.get(tag, {}).get("data", [])}
                if "value" in data:
                    name = f"{item.get('name')}/{state.get('name')}"
                    results[name] = Reading(_number(data["value"], name))
                    break
    return results


def _hyperfine(given: Given) -> dict[str, Reading]:
    results = {}
    for item in _items(_document(given), "results"):
        times = [_number(t, "a time of hyperfine") for t in item.get("times") or []]
        name = str(item.get("command"))
        results[name] = Reading(_number(item.get("median"), f"the median of {name}"), sum(times))
    return results


def _json(given: Given) -> dict[str, Reading]:
    document = _document(given)
    results = {}
    for metric in given.metrics:
        value: Any = document
        for part in (metric.path or metric.name).split("."):
            try:
                value = value[int(part) if isinstance(value, list) else part]
            except (LookupError, TypeError, ValueError):
                value = None
                break
        if isinstance(value, list) and value:
            value = median(_number(v, metric.name) for v in value)
        if value is not None:
            results[metric.name] = Reading(_number(value, metric.name))
    if not given.metrics:  # for `avo adopt`, which looks what there is
        results = {name: Reading(value) for name, value in _leaves(document)}
    return results


def _leaves(value: Any, path: str = "") -> list[tuple[str, float]]:
    if isinstance(value, dict):
        return [leaf for key, v in value.items() for leaf in _leaves(v, f"{path}.{key}".strip("."))]
    if isinstance(value, list):
        numbers = [v for v in value if isinstance(v, (int, float)) and not isinstance(v, bool)]
        if numbers and len(numbers) == len(value):
            return [(path, fmean(numbers))]
        return [leaf for i, v in enumerate(value) for leaf in _leaves(v, f"{path}.{i}".strip("."))]
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return [(path, float(value))]
    return []


def _regex(given: Given) -> dict[str, Reading]:
    if not given.text.strip():
        raise UnreadableError("the benchmark printed nothing")
    results = {}
    for metric in given.metrics:
        matches = re.findall(metric.pattern, given.text, re.MULTILINE)
        firsts = [m if isinstance(m, str) else m[0] for m in matches]
        if firsts:
            values = [_number(text.replace(",", ""), metric.name) for text in firsts]
            results[metric.name] = Reading(median(values))
    return results


def _wall(given: Given) -> dict[str, Reading]:
    return {"wall": Reading(given.seconds)}


_FILE = "avo-benchmark.json"
FORMATS: Mapping[str, Format] = {
    "google-benchmark": Format(
        _google, "the median of its repetitions", option="--benchmark_format=json"
    ),
    "pytest-benchmark": Format(
        _pytest, "the median of its rounds", _FILE, f"--benchmark-json={_FILE}"
    ),
    "pyperf": Format(_pyperf, "the median of its values", _FILE, f"-o {_FILE}"),
    "criterion": Format(_criterion, "the median of its samples", "target/criterion"),
    "nvbench": Format(_nvbench, "its mean GPU time", _FILE, f"--json {_FILE}"),
    "hyperfine": Format(_hyperfine, "the median of its runs", _FILE, f"--export-json {_FILE}"),
    "json": Format(_json, "the number at `{path}`, of a list its median", times=False),
    "regex": Format(_regex, "the median of all matches of `{pattern}`", times=False),
    "wall": Format(_wall, "the time of the whole command by our clock"),
}


def readings(name: str, given: Given) -> dict[str, Reading]:
    """The wanted metrics of a run, or all that there are where none is wanted.

    Raises UnreadableError for one that is missing, or no positive number.
    """
    results = dict(FORMATS[name].read(given))
    if not given.metrics:
        return {n: r for n, r in results.items() if math.isfinite(r.value) and r.value > 0}
    chosen = {}
    for metric in given.metrics:
        reading = results.get(metric.name)
        if reading is None:
            every = FORMATS[name].read(replace(given, metrics=()))
            there = ", ".join(sorted(every)[:8]) or "none at all"
            raise UnreadableError(f"the benchmark reports no {metric.name!r}; it reports {there}")
        if metric.field:
            if metric.field not in reading.fields:
                there = ", ".join(sorted(reading.fields)) or "none"
                raise UnreadableError(
                    f"{metric.name} has no field {metric.field!r}; beside its time it has {there}"
                )
            reading = replace(reading, value=reading.fields[metric.field])
        if not (math.isfinite(reading.value) and reading.value > 0):
            raise UnreadableError(f"the benchmark reports {reading.value} for {metric.name!r}")
        chosen[metric.key] = reading
    return chosen
