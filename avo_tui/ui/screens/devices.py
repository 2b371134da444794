"""The devices of a run: how busy, how fast, how hot each is, over the last minutes."""

from __future__ import annotations

from avo_tui.ui.panes.base import teach
from avo_tui.ui.panes.device import device_lines, worker_lines
from avo_tui.ui.screens.detail import DETAIL, DetailScreen
from avo_tui.ui.text import Line


class DevicesScreen(DetailScreen):
    """Sparklines of every device that the run's engine samples."""

    ACTIONS = DETAIL
    MAIN = "#devices-view"
    ABOUT = (
        "The processors and GPUs that kernels are measured on, sampled by the engine every two "
        "seconds. A clock that is held back by the power limit or the temperature makes every "
        "kernel slower; time that a hypervisor took, or that programs waited for a core, makes "
        "figures noisy. What was so during a measurement is kept with it, and shown in Output. "
        "Above them: what each device evaluates, since when, and how often it failed or was lost."
    )
    PANES = {"devices": ("Devices", "Clock, power, temperature, load; the newest at the right.")}  # noqa: RUF012

    def repaint(self) -> None:
        feed, moment = self.host.session.feed, self.host.clock()
        history = {} if feed is None else feed.devices
        workers = None if feed is None else feed.workers

        def build(width: int) -> list[Line]:
            staff = worker_lines(workers, moment, width)
            if not history and not staff:
                return list(
                    teach(
                        "No device was sampled in this session.",
                        "A running engine samples its devices every two seconds.",
                    )
                )
            return [*staff, *device_lines(history, moment, width)]

        self.main.show(build)

    def show_second(self) -> None:
        super().show_second()
        self.paint_again()
