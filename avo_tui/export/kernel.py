"""One version's kernel as one source with its header, its files as measured, and its score."""

import json
import shlex
from operator import attrgetter
from pathlib import Path, PurePosixPath

from avo_tui.domain.deployment import SingleSource
from avo_tui.domain.plain import safe
from avo_tui.domain.records import Version
from avo_tui.domain.score import Score
from avo_tui.domain.state import SessionState
from avo_tui.export.folder import Exported, ExportError, new_folder, write
from avo_tui.export.json_documents import version_form
from avo_tui.store import SessionReader

KERNEL = "kernel"
"""Folder of the kernel's files as they were measured, inside the export."""
SCORE = "score.json"
MARK = "export"
"""The bookmark of the version that is to be exported, where it is not to be the best."""


def as_source(
    reader: SessionReader, target: Path, number: int | None, source: SingleSource
) -> Exported:
    """Write the kernel of a version, the best one where `number` is None. Raises ExportError.

    `source` is that version's kernel as one file; the files as they were measured go beside it.
    """
    state = reader.state
    version = version_of(state, number)
    files = reader.candidate(version.candidate).files
    header = f"{PurePosixPath(source.name).stem}.h"
    with new_folder(target) as folder:
        write(folder, source.name, source.text)
        if source.header:
            write(folder, header, source.header)
        for name, text in files.items():
            write(folder, f"{KERNEL}/{name}", text)
        form = {
            "session": state.session.name,
            "task": state.session.task.name,
            **version_form(version),
        }
        write(folder, SCORE, json.dumps(form, ensure_ascii=False, indent=2) + "\n")
        write(folder, "README.md", _readme(state, version, sorted(files), source))
    kernel = (f"{KERNEL}/{name}" for name in sorted(files))
    headers = (header,) if source.header else ()
    named = (source.name, *headers, *kernel, SCORE, "README.md")
    return Exported(folder=target, files=named, versions=(version.number,))


def for_export(state: SessionState) -> Version | None:
    """The version with the bookmark `export`, the latest of several; the best where none has it."""
    marked = [v for v in state.versions.values() if (v.bookmark or "").strip() == MARK]
    return max(marked, key=attrgetter("number"), default=state.best)


def chosen(state: SessionState, number: int | None) -> str:
    """The name of the version that `version_of` gives, with why where it is not the best."""
    version, best = version_of(state, number), state.best
    if number is not None or best is None or version.number == best.number:
        return f"v{version.number}"
    return f"v{version.number}, which has the bookmark {MARK} (--version best: v{best.number})"


def version_of(state: SessionState, number: int | None) -> Version:
    """The version of a number; without one, the one for export. Raises ExportError."""
    version = for_export(state) if number is None else state.versions.get(number)
    if version is None:
        name = state.session.name
        there = f"it has v0 to v{max(state.versions)}" if state.versions else "it has no version"
        what = "no version yet" if number is None else f"no v{number}; {there}"
        raise ExportError(f"{name} has {what}")
    return version


def score_rows(score: Score, aggregate: float, ratio: str, every: str) -> list[list[str]]:
    """A score as a table: a row for each configuration, a column for each baseline.

    `ratio` is the heading of the ratio to the reference, `every` that of the last row.
    """
    baselines = sorted({b for c in score.configurations for b in c.baselines})
    rows = [["configuration", score.unit, "p20–p80", ratio, *baselines]]
    rows += [
        [
            c.name,
            f"{c.throughput:.4g}",
            f"{c.p20:.4g}–{c.p80:.4g}",
            f"{c.ratio:.4f}",
            *(f"{c.baselines[b]:.4g}" if b in c.baselines else "" for b in baselines),
        ]
        for c in score.configurations
    ]
    means = (f"{score.baseline_geomean(b):.4g}" for b in baselines)
    return [*rows, [every, f"{score.geomean:.4g}", "", f"{aggregate:.4f}", *means]]


def score_table(version: Version) -> str:
    """The score of a version as a Markdown table, with what stands below it."""
    reference = f"ratio to {version.score.reference_baseline}"
    rows = score_rows(version.score, version.aggregate, reference, "all (geometric mean)")
    lines = [f"| {' | '.join(row)} |" for row in [rows[0], ["---"] * len(rows[0]), *rows[1:]]]
    if remarks := version.score.remarks:
        lines += ["", *(f"- {safe(remark)}" for remark in remarks)]
    return "\n".join(lines)


def _readme(state: SessionState, version: Version, files: list[str], source: SingleSource) -> str:
    session = state.session
    command = " ".join(shlex.quote(word) for word in source.command)
    parts = [
        f"# {safe(session.task.title)}: v{version.number} of {session.name}",
        f"`{source.name}` is the kernel as one file"
        + (" with functions that C can call" if source.header else "")
        + ". It is compiled by\n\n"
        f"    {command}",
        source.usage,
        f"`{KERNEL}/` ({', '.join(f'`{f}`' for f in files)}) is the kernel as it was measured;"
        f" `{SCORE}` is its score, with where it comes from.",
        score_table(version),
        f"Measured {version.created:%Y-%m-%d %H:%M} UTC"
        + (f" on {safe(version.device)}" if version.device else "")
        + ", each configuration beside its baselines in the same run."
        f" Made by {safe(version.maker)} in step {version.step}."
        f" Gate `{version.gate.gate}`: {safe(version.gate.reason)}.",
    ]
    for title, text in (
        ("Idea", version.idea),
        ("Summary", version.summary),
        ("Plan of the step", version.plan),
    ):
        if text.strip():
            parts.append(f"## {title}\n\n{_quoted(text)}")
    parts.append(f"`avo evaluate {session.task.name} {KERNEL}` measures it again where avo-tui is.")
    return "\n\n".join(parts) + "\n"


def _quoted(text: str) -> str:
    """Text from outside as a Markdown quotation, so that it cannot be taken for ours."""
    return "\n".join(f"> {line}" for line in safe(text).strip().splitlines())
