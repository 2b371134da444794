"""What `avo campaign` prints of a campaign: the list, one campaign in words, and as JSON."""

from __future__ import annotations

import typer

from avo_tui.cli.json_output import emit
from avo_tui.cli.parameters import Json
from avo_tui.cli.terminal import table
from avo_tui.domain.budget import cap_states
from avo_tui.domain.plain import plain
from avo_tui.export.json_documents import moment
from avo_tui.store import (
    CampaignFolder,
    CampaignReader,
    CampaignView,
    LineView,
    StoreError,
    campaign_folders,
)


def list_campaigns(as_json: Json = False) -> None:
    """List the campaigns on this machine."""
    forms: list[dict[str, object]] = []
    rows = []
    for folder in campaign_folders():
        try:
            view = CampaignReader(folder).view()
        except StoreError as error:
            forms.append({"campaign": folder.name, "error": str(error)})
            rows.append([folder.name, "", "broken", "", "", str(error)])
            continue
        form = view_form(view)
        forms.append({k: v for k, v in form.items() if k not in {"migrations", "happenings"}})
        best = view.best
        ratio = f"{best.best.aggregate:.3f}x" if best is not None and best.best else ""
        spent = f"{view.spend.evaluations} evaluations"
        rows.append(
            [folder.name, view.campaign.task.name, view.state, str(len(view.lines)), ratio, spent]
        )
    if as_json:
        emit({"campaigns": forms})
        return
    if not rows:
        typer.echo("no campaigns yet; begin one with `avo campaign run TASK`")
        return
    table(rows, ["campaign", "task", "state", "lines", "best", "spent"])


def print_status(folder: CampaignFolder, as_json: bool) -> None:
    """Print how a campaign stands."""
    view = CampaignReader(folder).view()
    if as_json:
        emit(view_form(view))
        return
    campaign = view.campaign
    typer.echo(f"{campaign.name}  {view.state}")
    if view.state == "lost":
        typer.echo(f"its process is gone; go on with: avo campaign resume {campaign.name}")
    exchange = (
        f"each sends its best to the next every {campaign.migrate} evaluations"
        if campaign.migrate
        else "no exchange"
    )
    memory = ", shared memory" if campaign.shared_memory else ""
    typer.echo(f"task {campaign.task.name}, {len(view.lines)} lines, {exchange}{memory}")
    best = view.best
    if best is not None and best.best is not None:
        typer.echo(
            f"best: line {best.line.number}, v{best.best.number} "
            f"{best.best.aggregate:.4f} of {campaign.task.reference_baseline}"
        )
    for text in budget_lines(view):
        typer.echo(text)
    table(*_line_rows(view))
    if view.migrations:
        count = sum(1 for m in view.migrations if m.fate == "committed")
        sent = len(view.migrations)
        typer.echo(f"{sent} {'version' if sent == 1 else 'versions'} sent on, {count} committed")
    for happening in view.happenings[-12:]:
        mark = "*" if happening.better else " "
        typer.echo(
            f"{happening.at.astimezone():%H:%M:%S} {mark} line {happening.line}: "
            f"{plain(happening.text, 160)}"
        )


def budget_lines(view: CampaignView) -> list[str]:
    """What all lines have spent together, and of which caps."""
    spend = view.spend
    texts = [f"spent {spend.evaluations} evaluations, ${spend.usd:.2f}, {spend.tokens} tokens"]
    caps = view.campaign.caps
    states = cap_states(caps.model_copy(update={"hours": None}), spend)
    texts += [f"cap: {c.text} ({c.fraction:.0%})" for c in states]
    if caps.hours is not None:
        texts.append(f"cap hours: {caps.hours:g} of each line")
    return texts


def _line_rows(view: CampaignView) -> tuple[list[list[str]], list[str]]:
    rows = []
    for one in view.lines:
        share = "" if one.cap is None else f"/{one.cap:g}"
        rows.append(
            [
                str(one.line.number),
                one.line.session,
                one.line.settings.operator,
                one.state,
                "" if one.best is None else f"v{one.best.number} {one.best.aggregate:.3f}x",
                f"{one.spend.evaluations}{share}",
                str(one.versions),
                one.reason,
            ]
        )
    return rows, ["line", "session", "operator", "state", "best", "evaluations", "versions", ""]


def view_form(view: CampaignView) -> dict[str, object]:
    """A campaign as JSON."""
    campaign, best = view.campaign, view.best
    return {
        "campaign": campaign.name,
        "task": campaign.task.name,
        "state": view.state,
        "created": moment(campaign.created),
        "process": view.conductor.pid if view.conductor.alive else None,
        "migrate": campaign.migrate,
        "shared_memory": campaign.shared_memory,
        "budget": campaign.caps.model_dump(mode="json"),
        "spend": view.spend.model_dump(mode="json"),
        "best": None
        if best is None or best.best is None
        else {
            "line": best.line.number,
            "session": best.line.session,
            "version": best.best.number,
            "ratio": best.best.aggregate,
        },
        "lines": [_line_form(one) for one in view.lines],
        "migrations": [
            {
                "at": moment(m.migration.at),
                "from_line": m.migration.source,
                "version": m.migration.version,
                "to_line": m.migration.target,
                "ratio": m.migration.ratio,
                "fate": m.fate,
                "became": m.version,
                "reason": m.reason,
            }
            for m in view.migrations
        ],
        "happenings": [
            {"at": moment(h.at), "line": h.line, "text": h.text, "better": h.better}
            for h in view.happenings
        ],
    }


def _line_form(one: LineView) -> dict[str, object]:
    return {
        "line": one.line.number,
        "session": one.line.session,
        "operator": one.line.settings.operator,
        "devices": one.line.settings.devices,
        "split_from": one.line.split_from,
        "origin": one.line.origin,
        "state": one.state,
        "reason": one.reason,
        "best": None if one.best is None else one.best.number,
        "best_ratio": None if one.best is None else one.best.aggregate,
        "versions": one.versions,
        "evaluations": one.spend.evaluations,
        "evaluations_cap": one.cap,
        "spend": one.spend.model_dump(mode="json"),
        "points": [list(point) for point in one.points],
    }
