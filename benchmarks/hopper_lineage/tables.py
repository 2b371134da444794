"""What a recorded session and its fresh evaluations show, as Markdown and JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from avo_tui.domain.report import EvaluationReport
from avo_tui.domain.score import ConfigurationScore, Score, geomean
from avo_tui.store import SessionReader

NAMES = {"cudnn": "cuDNN", "flash": "FA2", "fa3": "FA3"}
"""How the paper and everybody call the baselines."""


def groups(configurations: Sequence[ConfigurationScore]) -> dict[str, list[ConfigurationScore]]:
    """The configurations by the part of their names before the first dash, where there is one."""
    found: dict[str, list[ConfigurationScore]] = {}
    for c in configurations:
        found.setdefault(c.name.partition("-")[0] if "-" in c.name else "all", []).append(c)
    return found


def ratios(score: Score) -> dict[str, dict[str, float]]:
    """Group → baseline → geometric mean of throughput over the baseline's in the same run.

    The group `all` is every configuration. A baseline is left out where it was not measured on
    every configuration of the group.
    """
    table: dict[str, dict[str, float]] = {}
    found = groups(score.configurations)
    parts = {"all": list(score.configurations), **(found if len(found) > 1 else {})}
    for group, members in parts.items():
        row = {score.reference_baseline: geomean(c.ratio for c in members)}
        for name in members[0].baselines if members else ():
            if name != score.reference_baseline and all(c.baselines.get(name) for c in members):
                row[name] = geomean(c.throughput / c.baselines[name] for c in members)
        table[group] = row
    return table


def session_rows(folder: Path, names: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """One row for each attempt of the session that was judged, in the order of the record.

    `names`: identity of a candidate → its entry in the lineage.
    """
    reader = SessionReader.open(folder)
    rows = []
    for attempt in reader.state.attempts.values():
        report = reader.report(attempt)
        if report is None or not report.verdict.judges_candidate or report.cached:
            continue
        entry = names.get(attempt.candidate, {})
        version = (
            reader.state.versions.get(attempt.version) if attempt.version is not None else None
        )
        rows.append(
            {
                "version": attempt.version,
                "name": entry.get("name", attempt.title),
                "title": entry.get("title", attempt.title),
                "prediction": entry.get("prediction", ""),
                "verdict": report.verdict.value,
                "why_not": "" if version is not None else attempt.reason,
                "gate": version.gate.reason if version is not None else "",
                **report_row(report),
            }
        )
    return rows


def report_row(report: EvaluationReport) -> dict[str, Any]:
    """What a report says of a candidate: ratios, throughputs, resources."""
    score = report.score
    return {
        "candidate": report.candidate,
        "device": report.device,
        "summary": report.feedback.summary,
        "registers": report.resources.registers,
        "spill_bytes": report.resources.spill_bytes,
        "seconds": round(report.seconds.total, 1),
        "unit": score.unit if score else "",
        "geomean": round(score.geomean, 2) if score else None,
        "ratios": {} if score is None else ratios(score),
        "configurations": []
        if score is None
        else [c.model_dump(mode="json") for c in score.configurations],
    }


def _columns(rows: Sequence[dict[str, Any]]) -> list[tuple[str, str]]:
    found: dict[tuple[str, str], None] = {}
    for row in rows:
        for group, values in row["ratios"].items():
            for baseline in values:
                found[group, baseline] = None
    return list(found)


def markdown(rows: Sequence[dict[str, Any]]) -> str:
    """A table of versions, then one of what was not committed."""
    columns = _columns(rows)
    head = [f"{g} / {NAMES.get(b, b)}" for g, b in columns]
    lines = [_line("version", "what changed", *head, "registers", "spills")]
    lines.append("|---" * (len(head) + 4) + "|")
    for row in rows:
        if row["version"] is None:
            continue
        lines.append(_line(f"v{row['version']} {row['name']}", row["title"], *_cells(row, columns)))
    rejected = [row for row in rows if row["version"] is None]
    if rejected:
        lines += ["", _line("not committed", "what was tried", *head, "registers", "spills", "why")]
        lines.append("|---" * (len(head) + 5) + "|")
        for row in rejected:
            why = row["why_not"] or row["summary"]
            lines.append(_line(row["name"], row["title"], *_cells(row, columns), why))
    return "\n".join(lines) + "\n"


def evaluation_markdown(name: str, rows: Sequence[dict[str, Any]]) -> str:
    """The configurations of evaluations from fresh processes, one below the other."""
    lines = []
    for number, row in enumerate(rows, start=1):
        lines += ["", f"{name}, fresh process {number} of {len(rows)}: {row['summary']}", ""]
        if not row["configurations"]:
            continue
        baselines = list(row["configurations"][0]["baselines"])
        head = [NAMES.get(b, b) for b in baselines]
        lines.append(_line("configuration", row["unit"], "p20–p80", "ratio", *head, "flags"))
        lines.append("|---" * (len(head) + 5) + "|")
        for c in row["configurations"]:
            values = [f"{c['baselines'].get(b, 0.0):.1f}" for b in baselines]
            spread = f"{c['p20']:.1f}–{c['p80']:.1f}"
            flags = ", ".join(c["flags"])
            main = (c["name"], f"{c['throughput']:.1f}", spread, f"{c['ratio']:.3f}")
            lines.append(_line(*main, *values, flags))
        means = [
            f"{group} {value:.3f} of {NAMES.get(baseline, baseline)}"
            for group, values in row["ratios"].items()
            for baseline, value in values.items()
        ]
        lines += ["", "Geometric means: " + ", ".join(means) + "."]
    return "\n".join(lines) + "\n"


def _cells(row: dict[str, Any], columns: Sequence[tuple[str, str]]) -> list[str]:
    cells = []
    for group, baseline in columns:
        value = row["ratios"].get(group, {}).get(baseline)
        cells.append("–" if value is None else f"{value:.3f}" if value >= 0.1 else f"{value:.4f}")
    for name in ("registers", "spill_bytes"):
        cells.append("–" if row[name] is None else str(row[name]))
    return cells


def _line(*cells: object) -> str:
    return "| " + " | ".join(str(c).replace("|", "/").replace("\n", " ") for c in cells) + " |"


def write(folder: Path, name: str, text: str, body: object) -> None:
    """Writes `name`.md and `name`.json into the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.md").write_text(text, encoding="utf-8")
    (folder / f"{name}.json").write_text(json.dumps(body, indent=1) + "\n", encoding="utf-8")
