"""What breaks first with many devices: the fleet's own cost per request, with simulated devices.

python benchmarks/fleet_of_fakes.py --devices 10 100 1000 [--seconds 0.5] [--requests 20]

The devices are simulated: each answers after `--seconds` and measures nothing, so the table shows
what the engine's process can hand out and take back, and not what a network or a scheduler can.
"""

from __future__ import annotations

import argparse
import asyncio
import resource
import time
from typing import Any

from avo_tui.domain.device import DeviceState
from avo_tui.domain.machine import MachineInfo
from avo_tui.domain.report import EvaluationProgress
from avo_tui.evaluation.ports import ProgressSink
from avo_tui.evaluation.workers.fleet import Fleet
from avo_tui.evaluation.workers.ports import Device, Joined, Left


class SimulatedDevice(Device):
    """Answers after a while, with the signs of life of an evaluation of four configurations."""

    def __init__(self, name: str, seconds: float) -> None:
        self.name = name
        self.host = "simulated"
        self._seconds = seconds

    async def start(self) -> MachineInfo:
        """At once."""
        return MachineInfo(device="simulated", conditions="simulated")

    async def request(self, body: dict[str, object], progress: ProgressSink | None) -> Any:
        """Waits, and says something ten times meanwhile."""
        for _ in range(10):
            await asyncio.sleep(self._seconds / 10)
            if progress is not None:
                progress(EvaluationProgress(stage="benchmark", state="configuration"))
        return {"verdict": "correct"}

    async def sense(self) -> tuple[DeviceState, ...]:
        """Nothing."""
        return ()

    async def rest(self) -> None:
        """Nothing."""

    async def close(self) -> None:
        """Nothing."""


class SimulatedSite:
    """As many devices as are asked for."""

    def __init__(self, count: int, seconds: float) -> None:
        self._devices = [SimulatedDevice(f"simulated:{n}", seconds) for n in range(count)]

    async def open(self, joined: Joined, left: Left) -> None:
        """Gives them all."""
        for device in self._devices:
            joined(device)

    async def close(self) -> None:
        """Nothing."""


async def row(count: int, seconds: float, each: int) -> str:
    """One row of the table."""
    async with Fleet([SimulatedSite(count, seconds)]) as fleet:
        began, used = time.monotonic(), time.process_time()
        seen = 0

        def see(progress: EvaluationProgress) -> None:
            nonlocal seen
            seen += 1

        await asyncio.gather(*(fleet.request({"op": "evaluate"}, see) for _ in range(count * each)))
        wall, processor = time.monotonic() - began, time.process_time() - used
    requests = count * each
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return (
        f"| {count} | {requests / wall:.0f} | {requests / wall / (count / seconds):.1%} |"
        f" {processor / requests * 1e6:.0f} | {processor / wall:.0%} | {memory:.0f} |"
    )


def main() -> None:
    """Prints a table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--devices", type=int, nargs="+", default=[10, 100, 1000])
    parser.add_argument("--seconds", type=float, default=0.5)
    parser.add_argument("--requests", type=int, default=20, help="for each device")
    options = parser.parse_args()
    print("| devices | requests/s | of what they could | µs of processor a request | core | MiB |")
    print("|---|---|---|---|---|---|")
    for count in options.devices:
        print(asyncio.run(row(count, options.seconds, options.requests)), flush=True)


if __name__ == "__main__":
    main()
