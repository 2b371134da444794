"""What a person orders of a campaign itself: to split off a line, to change the budget."""

from __future__ import annotations

from collections.abc import Mapping

from avo_tui.campaign.lines import LineSession
from avo_tui.domain.base import now
from avo_tui.domain.campaigns import (
    DIVIDED,
    MOST_LINES,
    SMALLEST,
    Campaign,
    Line,
    Order,
    OrderRecord,
    SetCaps,
    Split,
    half_of_rest,
    line_session,
)
from avo_tui.operators import registry
from avo_tui.store import CampaignWriter, StoreError


class RefusedError(Exception):
    """An order cannot be carried out; the message says why."""


def carry_out(store: CampaignWriter, order: Order, sessions: Mapping[int, LineSession]) -> None:
    """Record an order with its effect, in one write; then remove it from the folder.

    One that is on record already is only removed. Raises StoreError.
    """
    campaign = store.campaign
    if all(record.id != order.id for record in campaign.orders):
        refused: str | None = None
        effect = ""
        try:
            if isinstance(order, Split):
                campaign, effect = _split(store, order, sessions)
            else:
                campaign, effect = _set_caps(campaign, order)
        except (RefusedError, ValueError, StoreError) as error:
            campaign, refused = store.campaign, str(error)
        record = OrderRecord(id=order.id, at=now(), kind=order.kind, effect=effect, refused=refused)
        store.write(campaign.replaced(orders=(*campaign.orders, record)))
    store.order_done(order.id)


def _split(
    store: CampaignWriter, order: Split, sessions: Mapping[int, LineSession]
) -> tuple[Campaign, str]:
    campaign = store.campaign
    parent = campaign.line(order.line)
    if len(campaign.lines) >= MOST_LINES:
        raise RefusedError(f"a campaign has at most {MOST_LINES} lines")
    session = sessions.get(parent.number)
    if session is None or session.reader is None or not session.reader.state.versions:
        raise RefusedError(f"line {parent.number} has no version yet to start from")
    state = session.reader.state
    best = state.best
    version = order.version if order.version is not None else (best.number if best else 0)
    if version not in state.versions:
        raise RefusedError(f"{parent.session} has no v{version}")
    _, given = half_of_rest(session.standing(parent))
    for unit in DIVIDED:
        half = getattr(given, unit)
        if half is not None and half < SMALLEST[unit]:
            raise RefusedError(
                f"line {parent.number} has too little left to share ({unit}); give the campaign "
                f"more first: avo campaign budget {campaign.name} --{unit} …"
            )
    number = max(line.number for line in campaign.lines) + 1
    name = line_session(campaign.name, number)
    settings = parent.settings.model_copy(
        update={"random_seed": parent.settings.random_seed + number}
    )
    if order.operator is not None:
        descriptor = registry.descriptor(order.operator)
        model = descriptor.models[0] if descriptor.models else None
        settings = settings.model_copy(update={"operator": descriptor.name, "model": model})
        if why := descriptor.unavailable():
            raise RefusedError(why)
    line = Line(
        number=number,
        session=name,
        settings=settings,
        origin=f"{parent.session}:{version}",
        split_from=parent.number,
        waits_for=f"campaign-budget-split-{number}",
    )
    if store.session(line).exists():
        raise RefusedError(f"there is a session {name} already, which is no line of this campaign")
    effect = f"line {number} ({name}) begins from v{version} of line {parent.number}"
    return campaign.with_line(line), effect


def _set_caps(campaign: Campaign, order: SetCaps) -> tuple[Campaign, str]:
    caps = campaign.caps.model_copy(update=order.caps.model_dump(exclude_none=True))
    given = ", ".join(f"{unit} {cap:g}" for unit, cap in caps.model_dump(exclude_none=True).items())
    return campaign.replaced(caps=caps), f"the caps of the campaign are {given or 'none'}"
