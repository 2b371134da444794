"""Answers a scrape of Prometheus with samples of each session and each device, in base units."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from typing import get_args

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from avo_tui.domain.device import DeviceState
from avo_tui.domain.records import RunState
from avo_tui.domain.workers import WorkerStateName, WorkerStatus
from avo_tui.store import SessionSummary, device_history, read_workers

STATES: tuple[str, ...] = get_args(RunState)
FRESH_SECONDS = 15.0
"""Age in seconds above which a sample of a device is no longer reported."""

Figure = tuple[str, str, Callable[[SessionSummary], float | None]]

GAUGES: tuple[Figure, ...] = (
    (
        "avo_best_ratio",
        "Aggregate of the best version: geometric mean of its ratios to the reference baseline.",
        lambda s: s.ratio,
    ),
    (
        "avo_best_throughput",
        "Geometric mean of the best version's throughput, in the task's own unit.",
        lambda s: s.geomean,
    ),
    ("avo_best_version", "Number of the best version.", lambda s: s.best),
    ("avo_step", "Number of the current step.", lambda s: s.step),
    (
        "avo_tries_since_best",
        "Attempts with a verdict since the best version.",
        lambda s: s.progress.tries if s.progress else None,
    ),
    (
        "avo_needs_person",
        "1 where nothing goes on until a person does something, such as approve a commit.",
        lambda s: float(s.progress.needs_person) if s.progress else None,
    ),
    (
        "avo_stuck",
        "1 where the run has tried for long without a better version.",
        lambda s: float(s.progress.stuck) if s.progress else None,
    ),
    (
        "avo_engine_alive",
        "1 while the session's engine process lives.",
        lambda s: float(s.engine.alive),
    ),
    (
        "avo_last_event_timestamp_seconds",
        "When the last event was recorded, in seconds since 1970.",
        lambda s: s.last_activity.timestamp() if s.last_activity else None,
    ),
)
COUNTERS: tuple[Figure, ...] = (
    ("avo_versions", "Versions in the lineage, the seed included.", lambda s: s.versions),
    ("avo_attempts", "Candidates that were tried.", lambda s: s.attempts),
    ("avo_evaluations", "Evaluations that were made.", lambda s: s.spend.evaluations),
    ("avo_cost_dollars", "US dollars spent on models.", lambda s: s.spend.usd),
    ("avo_tokens", "Tokens of models, read and written.", lambda s: s.spend.tokens),
    ("avo_running_seconds", "Seconds of running, pauses left out.", lambda s: s.spend.seconds),
)


WORKER_STATES: tuple[str, ...] = get_args(WorkerStateName)
WORKER_FIGURES: tuple[tuple[str, str, Callable[[WorkerStatus], float]], ...] = (
    (
        "avo_worker_evaluations",
        "Requests that the device has answered in this run of the engine.",
        lambda w: w.evaluations,
    ),
    (
        "avo_worker_failures",
        "Requests that ended with an error of the harness.",
        lambda w: w.failures,
    ),
    ("avo_worker_losses", "Times that the device's worker was lost.", lambda w: w.losses),
    (
        "avo_worker_busy_seconds",
        "Time that the device spent on requests that have ended.",
        lambda w: w.busy_seconds,
    ),
)


class Sessions(Collector):
    """Reads the sessions at each scrape; what has not changed since the last one is not read."""

    def __init__(
        self, summaries: Callable[[], Iterable[SessionSummary]], now: Callable[[], datetime]
    ) -> None:
        self._summaries, self._now = summaries, now

    def collect(self) -> Iterator[Metric]:
        """All metrics. A session that cannot be read is counted, and has no other metric."""
        every = list(self._summaries())
        # of two sessions of one name, in two folders, the one that was active last
        whole = list({s.name: s for s in reversed(every) if s.error is None}.values())
        broken = GaugeMetricFamily("avo_sessions_unreadable", "Sessions that cannot be read.")
        broken.add_metric([], sum(s.error is not None for s in every))
        yield broken
        yield self._states(whole)
        labels = ("session", "task")
        for kind, figures in ((GaugeMetricFamily, GAUGES), (CounterMetricFamily, COUNTERS)):
            for name, meaning, value in figures:
                family = kind(name, meaning, labels=labels)
                for session in whole:
                    number = value(session)
                    if number is not None:
                        family.add_metric([session.name, session.task], number)
                yield family
        yield from self._devices(whole)
        yield from self._workers(whole)

    def _states(self, sessions: Iterable[SessionSummary]) -> Metric:
        family = GaugeMetricFamily(
            "avo_session_state", "1 for the state that the session is in, 0 for each other one.",
            labels=("session", "task", "operator", "state"),
        )  # fmt: skip
        for session in sessions:
            for state in STATES:
                labels = [session.name, session.task, session.operator or "", state]
                family.add_metric(labels, float(session.state == state))
        return family

    def _devices(self, sessions: Iterable[SessionSummary]) -> Iterator[Metric]:
        """Devices of running sessions; one that several share is told once, the newest sample."""
        newest: dict[tuple[str, str, str], DeviceState] = {}
        moment = self._now()
        for session in sessions:
            if not session.engine.alive:
                continue
            for states in device_history(session.folder, 1).values():
                state = states[-1]
                key = (state.host, state.name, str(state.index))
                fresh = (moment - state.at).total_seconds() < FRESH_SECONDS
                if fresh and (key not in newest or newest[key].at < state.at):
                    newest[key] = state
        for name, meaning, value in DEVICE_FIGURES:
            family = GaugeMetricFamily(name, meaning, labels=("host", "device", "index"))
            for key, state in newest.items():
                number = value(state)
                if number is not None:
                    family.add_metric(list(key), number)
            yield family
        throttled = GaugeMetricFamily(
            "avo_device_clock_held_back", "1 for each reason that lowers the device's clock now.",
            labels=("host", "device", "index", "reason"),
        )  # fmt: skip
        for key, state in newest.items():
            for reason in state.throttle:
                throttled.add_metric([*key, reason], 1)
        yield throttled

    def _workers(self, sessions: Iterable[SessionSummary]) -> Iterator[Metric]:
        """What the devices of running sessions do, each session's own."""
        labels = ("session", "worker", "host")
        told = [
            (session.name, worker)
            for session in sessions
            if session.engine.alive and (seen := read_workers(session.folder)) is not None
            for worker in seen.workers
        ]
        states = GaugeMetricFamily(
            "avo_worker_state",
            "1 for the state that the device is in for this session, 0 for each other one.",
            labels=(*labels, "state"),
        )
        for name, worker in told:
            for state in WORKER_STATES:
                row = [name, worker.name, worker.host, state]
                states.add_metric(row, float(worker.state == state))
        yield states
        for metric, meaning, value in WORKER_FIGURES:
            family = CounterMetricFamily(metric, meaning, labels=labels)
            for name, worker in told:
                family.add_metric([name, worker.name, worker.host], value(worker))
            yield family


def _mega(value: float | None) -> float | None:
    return None if value is None else value * 1e6


DEVICE_FIGURES: tuple[tuple[str, str, Callable[[DeviceState], float | None]], ...] = (
    ("avo_device_utilization_ratio", "Share of the time it was busy.", lambda d: d.utilisation),
    ("avo_device_clock_hertz", "Clock.", lambda d: _mega(d.clock_mhz)),
    ("avo_device_clock_max_hertz", "Highest clock possible.", lambda d: _mega(d.clock_max_mhz)),
    ("avo_device_power_watts", "Power drawn.", lambda d: d.power_watts),
    ("avo_device_power_limit_watts", "Limit of the power.", lambda d: d.power_limit_watts),
    (
        "avo_device_temperature_celsius",
        "Temperature in degrees Celsius.",
        lambda d: d.temperature_celsius,
    ),
    ("avo_device_memory_used_bytes", "Memory in use.", lambda d: d.memory_used),
    ("avo_device_steal_ratio", "Share of the processor a hypervisor took.", lambda d: d.steal),
    (
        "avo_device_pressure_ratio",
        "Share of the time in which some program waited for a core.",
        lambda d: d.pressure,
    ),
)
