"""How busy this machine is, said before something is measured."""

from __future__ import annotations

import time
from typing import Annotated

import typer

from avo_tui.cli.errors import Failure
from avo_tui.devices import processor_sensor
from avo_tui.domain.device import busy_text
from avo_tui.evaluation.locks import measuring_text

LOOK_SECONDS = 0.3
"""Seconds over which the load of the processor is looked at."""

UnlessBusy = Annotated[
    bool,
    typer.Option(
        "--unless-busy",
        help="Measure nothing where this machine is busy or somebody else measures on it.",
    ),
]


def say_busy(unless_busy: bool) -> None:
    """Say on standard error why the machine is not quiet.

    Raises Failure in that case where the caller wants to measure on a quiet machine only.
    """
    sensor = processor_sensor()
    time.sleep(LOOK_SECONDS)
    busy = "; ".join(filter(None, [busy_text([sensor.sample()]), measuring_text()]))
    if busy and unless_busy:
        raise Failure(f"nothing was measured, since the machine is busy now: {busy}")
    if busy:
        typer.echo(f"avo: the machine is busy now: {busy}", err=True)
