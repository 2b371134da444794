"""The session as one self-contained page of HTML: no script, no network, no other file."""

from html import escape
from pathlib import Path

from avo_tui.domain import memory
from avo_tui.domain.changes import ABOUT, change_of
from avo_tui.domain.difference import unified
from avo_tui.domain.plain import plain, safe
from avo_tui.domain.records import Intervention, Version
from avo_tui.domain.score import Score
from avo_tui.domain.state import SessionState
from avo_tui.export.chart import lineage_drawing, score_chart
from avo_tui.export.folder import Exported, ExportError, new_folder, write
from avo_tui.export.kernel import score_rows
from avo_tui.export.style import STYLE
from avo_tui.store import DamagedSession, SessionReader

PAGE = "index.html"


def as_page(reader: SessionReader, target: Path) -> Exported:
    """Write the report of a session as one page. Raises ExportError."""
    if not reader.state.versions:
        name = reader.state.session.name
        raise ExportError(f"{name} has no version yet; there is nothing to report")
    page = report(reader)
    with new_folder(target) as folder:
        write(folder, PAGE, page)
    return Exported(folder=target, files=(PAGE,), versions=tuple(sorted(reader.state.versions)))


def report(reader: SessionReader) -> str:
    """The page as text."""
    state = reader.state
    title = text(f"{state.session.name}: {state.session.task.title}")
    body = "\n".join(
        [
            f"<h1>{title}</h1>",
            _summary(state),
            f"<h2>Score</h2>\n{score_chart(state)}",
            f'<h2>Lineage</h2>\n<div class="wide">{lineage_drawing(state)}</div>',
            _versions(state),
            _best(state),
            _supervision(state),
            _memory(state),
            "<h2>Each version</h2>",
            *(_version(reader, state.versions[n]) for n in sorted(state.versions, reverse=True)),
        ]
    )
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta http-equiv="Content-Security-Policy" content="default-src \'none\';'
        " style-src 'unsafe-inline'\">\n"
        '<meta name="viewport" content="width=device-width">\n'
        f"<title>{title}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n{body}\n</body>\n</html>\n"
    )


def text(words: str) -> str:
    """Text from outside as HTML: markup is escaped and marks of writing direction are removed."""
    return escape(safe(words))


def _summary(state: SessionState) -> str:
    session, best, spend = state.session, state.best, state.session.spend
    model = f" ({session.settings.model})" if session.settings.model else ""
    rows = [
        ("task", session.task.name),
        ("operator", f"{session.settings.operator}{model}, gate {session.settings.gate}"),
        (
            "state",
            f"{session.state}" + (f": {session.state_reason}" if session.state_reason else ""),
        ),
        ("begun", f"{session.created:%Y-%m-%d %H:%M} UTC"),
    ]
    if session.last_event_at is not None:
        rows.append(("last event", f"{session.last_event_at:%Y-%m-%d %H:%M} UTC"))
    if best is not None:
        score = best.score
        rows.append(
            (
                "best",
                f"v{best.number}: {best.aggregate:.4f} of {score.reference_baseline},"
                f" {score.geomean:.4g} {score.unit}"
                + (f", on {best.device}" if best.device else ""),
            )
        )
    rows += [
        ("made", f"{len(state.versions)} versions from {len(state.attempts)} attempts"),
        (
            "spent",
            f"${spend.usd:.2f}, {spend.tokens:,} tokens, {spend.seconds / 3600:.2f} hours of"
            f" running, {spend.evaluations} evaluations, {spend.steps} steps",
        ),
    ]
    if session.settings.operator_traits.recording:
        rows.append(("mind", "the words were played from a recording; the scores were measured"))
    cells = "".join(f"<dt>{escape(name)}</dt><dd>{text(value)}</dd>" for name, value in rows)
    return f"<dl>{cells}</dl>"


def _versions(state: SessionState) -> str:
    scores = (version.score for version in state.versions.values())
    baselines = sorted({b for s in scores for c in s.configurations for b in c.baselines})
    unit = text(state.session.task.unit)
    head = ["version", "from", "by", "what changed", "gain", "aggregate", unit]
    best, rows = state.best, [[*head, *(f"× {text(b)}" for b in baselines)]]
    for number in sorted(state.versions, reverse=True):
        version = state.versions[number]
        marks = "".join(
            mark
            for mark, here in (
                (f" {version.star}", best is not None and number == best.number),
                (" head", number == state.session.head),
            )
            if here
        )
        change = change_of(version, state.versions)
        about = ABOUT if change is not None and not change.timed else ""
        gain = "" if change is None else f"{about}{change.gain:+.2%}"
        against = (version.score.ratio_to(b) for b in baselines)
        cells = [
            f'<a href="#v{number}">v{number}</a>{marks}',
            "" if version.parent is None else f'<a href="#v{version.parent}">v{version.parent}</a>',
            text(plain(version.maker, 80)),
            text(plain(version.idea or version.summary or version.plan, 140)),
            gain,
            f"{version.aggregate:.4f}",
            f"{version.score.geomean:.4g}",
            *(f"{ratio:.3f}" if ratio > 0 else "" for ratio in against),
        ]
        rows.append(cells)
    return (
        "<h2>Versions</h2>\n<p>A gain is what the gate measured by timing a version and the one to"
        f" beat in turn; {ABOUT} compares two separate runs.</p>\n"
        f"{_table(rows)}"
    )


def _best(state: SessionState) -> str:
    best = state.best
    if best is None:
        return ""
    return f"<h2>The best, v{best.number}</h2>\n{_score(best.score)}"


def _score(score: Score) -> str:
    """A score as a table, each configuration beside its baselines."""
    rows = score_rows(score, score.aggregate, f"× {score.reference_baseline}", "all")
    remarks = "".join(f"<p>{text(remark)}</p>" for remark in score.remarks)
    return _table([[text(cell) for cell in row] for row in rows]) + remarks


def _table(rows: list[list[str]]) -> str:
    """Rows of HTML, the first of them the head."""
    head = "".join(f"<th>{cell}</th>" for cell in rows[0])
    lines = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows[1:])
    return f'<div class="wide"><table><tr>{head}</tr>{lines}</table></div>'


def _supervision(state: SessionState) -> str:
    if not state.supervision:
        return ""
    interventions = sorted(state.supervision.values(), key=lambda i: i.at)
    return "<h2>Supervisor</h2>\n<ul>" + "".join(_intervention(i) for i in interventions) + "</ul>"


def _intervention(one: Intervention) -> str:
    level = one.level.replace("_", " ")
    parts = [
        f"<li><b>{level}</b> in step {one.step}, by the {one.by}, {one.state}: {text(one.trigger)}"
    ]
    parts += [f"<p>{text(words)}</p>" for words in (one.diagnosis, one.review) if words]
    if one.directions:
        parts.append("<ul>" + "".join(f"<li>{text(d.line)}</li>" for d in one.directions) + "</ul>")
    return "".join(parts) + "</li>"


def _memory(state: SessionState) -> str:
    if not state.memory:
        return ""
    owing = memory.owing(state.versions.values())
    rows = []
    for note in state.memory.values():
        links = ", ".join(f'<a href="#v{n}">v{n}</a>' for n in owing.get(note.id, ()))
        owed = f" — {links} built on it" if links else ""
        rows.append(f"<li><b>{note.category}</b> {text(note.text)}{owed}</li>")
    return f"<h2>Memory</h2>\n<ul>{''.join(rows)}</ul>"


def _version(reader: SessionReader, version: Version) -> str:
    state = reader.state
    title = plain(version.idea or version.summary or version.plan, 100) or version.author
    parts = [
        f"<details><summary>v{version.number} · {version.aggregate:.4f} · {text(title)}</summary>"
    ]
    parent = "" if version.parent is None else f"from v{version.parent}, "
    parts.append(
        f'<p id="v{version.number}">{parent}by {text(plain(version.maker, 80))},'
        f" step {version.step}, {version.created:%Y-%m-%d %H:%M} UTC. Gate {version.gate.gate}:"
        f" {text(version.gate.reason)}.</p>"
    )
    for name, words in (
        ("Idea", version.idea),
        ("Summary", version.summary),
        ("Plan of the step", version.plan),
        ("Note of the person", version.note),
        ("Resources", version.resources.summary()),
    ):
        if words.strip():
            parts.append(f"<h3>{name}</h3><pre>{text(words.strip())}</pre>")
    if version.built_on:
        notes = "".join(f"<li>{n.category}: {text(n.text)}</li>" for n in version.built_on)
        parts.append(f"<h3>Built on notes of the memory</h3><ul>{notes}</ul>")
    parts.append(_score(version.score))
    for again in version.remeasurements:
        parts.append(
            f"<p>Measured again {again.at:%Y-%m-%d %H:%M} UTC: {again.score.aggregate:.4f}</p>"
        )
    parts.append(_change(reader, state, version))
    return "".join(parts) + "</details>"


def _change(reader: SessionReader, state: SessionState, version: Version) -> str:
    """The change to the parent; the whole source of a version without one. Never raises."""
    try:
        return _readable_change(reader, state, version)
    except (DamagedSession, KeyError) as error:
        return f"<p>The source of v{version.number} cannot be shown: {text(str(error))}</p>"


def _readable_change(reader: SessionReader, state: SessionState, version: Version) -> str:
    candidate = reader.candidate(version.candidate)
    if version.parent is None or version.parent not in state.versions:
        return "".join(
            f"<h3>{text(name)}</h3><pre>{text(body)}</pre>"
            for name, body in candidate.files.items()
        )
    origin = reader.candidate(state.versions[version.parent].candidate)
    change = unified(origin, candidate)
    lines = "".join(_line(line) for line in safe(change.text).split("\n"))
    return (
        f"<h3>Change to v{version.parent}: +{change.added} −{change.removed} lines</h3>"
        f'<pre class="diff">{lines}</pre>'
    )


def _line(line: str) -> str:
    if line.startswith(("+++", "---", "@@")):
        kind = "where"
    else:
        kind = {"+": "add", "-": "cut"}.get(line[:1], "")
    shown = escape(line)
    return f'<span class="{kind}">{shown}</span>\n' if kind else f"{shown}\n"
