"""Metrics as Prometheus reads them."""

import json
import re
import urllib.request
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("prometheus_client", reason="extra metrics")

from prometheus_client.parser import text_string_to_metric_families

from avo_tui.domain.budget import Spend
from avo_tui.domain.device import DeviceState
from avo_tui.domain.progress import Progress
from avo_tui.domain.workers import WorkersSeen, WorkerStatus
from avo_tui.metrics.collector import STATES, Sessions
from avo_tui.metrics.serving import dashboard, served, text
from avo_tui.store import DeviceLog, EngineStatus, SessionSummary, WorkersFile

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def session(folder: Path, name: str = "one", **fields: Any) -> SessionSummary:
    values: dict[str, Any] = {
        "name": name, "folder": folder, "task": "attention_cpu", "operator": "tuner",
        "state": "running", "engine": EngineStatus(alive=True), "ratio": 1.25, "best": 3,
        "versions": 4, "attempts": 17, "last_activity": NOW, "step": 9,
        "spend": Spend(usd=2.5, input_tokens=10, output_tokens=5, evaluations=17, seconds=60),
        "progress": Progress(state="running", waits_for="approval", tries=6, stuck=False),
    }  # fmt: skip
    return SessionSummary(**{**values, **fields})


def samples(*sessions: SessionSummary) -> dict[tuple[str, str], float]:
    """(name, the labels' values) → value, through Prometheus' own parser."""
    out: dict[tuple[str, str], float] = {}
    page = text(Sessions(lambda: sessions, lambda: NOW))
    for family in text_string_to_metric_families(page):
        for sample in family.samples:
            if sample.name.endswith("_created"):
                continue
            labels = sample.labels
            named = [labels.pop(name) for name in ("session", "task", "device") if name in labels]
            key = (sample.name, " ".join([*named, *(labels[name] for name in sorted(labels))]))
            assert key not in out, f"{key} is told twice"
            out[key] = sample.value
    return out


def test_a_session_is_told_in_base_units(tmp_path: Path) -> None:
    told = samples(session(tmp_path))
    one = "one attention_cpu"
    assert told["avo_best_ratio", one] == 1.25
    assert told["avo_attempts_total", one] == 17
    assert told["avo_cost_dollars_total", one] == 2.5
    assert told["avo_tokens_total", one] == 15
    assert told["avo_running_seconds_total", one] == 60
    assert told["avo_needs_person", one] == 1
    assert told["avo_tries_since_best", one] == 6
    assert told["avo_last_event_timestamp_seconds", one] == NOW.timestamp()
    states = {state: told["avo_session_state", f"{one} tuner {state}"] for state in STATES}
    assert states.pop("running") == 1 and set(states.values()) == {0}


def test_what_is_not_known_is_left_out(tmp_path: Path) -> None:
    told = samples(session(tmp_path, ratio=None, progress=None, best=None))
    assert not [key for key in told if key[0] in {"avo_best_ratio", "avo_stuck"}]


def test_a_broken_session_and_two_of_one_name_leave_the_scrape_whole(tmp_path: Path) -> None:
    newer, older = session(tmp_path, ratio=2.0), session(tmp_path, ratio=1.0)
    broken = SessionSummary(name="broken", folder=tmp_path, error="it is torn")
    told = samples(newer, older, broken)
    assert told["avo_sessions_unreadable", ""] == 1
    assert told["avo_best_ratio", "one attention_cpu"] == 2.0


def test_devices_are_told_once_and_only_while_they_are_sampled(tmp_path: Path) -> None:
    folders = [tmp_path / name for name in ("a", "b", "c")]
    for folder, age in zip(folders, (3, 1, 60), strict=True):
        folder.mkdir()
        state = DeviceState(
            name="old" if age == 60 else "H200",
            at=NOW - timedelta(seconds=age),
            clock_mhz=1000.0 + age,
            throttle=("power limit",),
        )
        log = DeviceLog(folder)
        log.add([state])
        log.close()
    told = samples(*(session(folder, folder.name) for folder in folders))
    clocks = {key: value for key, value in told.items() if key[0] == "avo_device_clock_hertz"}
    assert clocks == {("avo_device_clock_hertz", "H200  0"): 1001e6}
    assert told["avo_device_clock_held_back", "H200  0 power limit"] == 1


def test_it_is_served_over_http(tmp_path: Path) -> None:
    collector = Sessions(lambda: [session(tmp_path)], lambda: NOW)
    with served(collector, "127.0.0.1", 0) as port:
        url = f"http://127.0.0.1:{port}/metrics"
        page = urllib.request.urlopen(url, timeout=60).read().decode()
    assert 'avo_best_ratio{session="one",task="attention_cpu"} 1.25' in page


def test_the_dashboard_asks_for_metrics_that_there_are(tmp_path: Path) -> None:
    log = DeviceLog(tmp_path)
    log.add([DeviceState(name="d", at=NOW, throttle=("heat",))])
    log.close()
    page = text(Sessions(lambda: [session(tmp_path)], lambda: NOW))
    known = set(re.findall(r"^# TYPE (\S+) ", page, re.MULTILINE))
    board = json.loads(dashboard())
    asked = {
        name
        for panel in board["panels"]
        for target in panel["targets"]
        for name in re.findall(r"avo_\w+", target["expr"])
    }
    assert asked and asked <= known, asked - known


def test_what_each_device_of_a_running_session_does_is_told(tmp_path: Path) -> None:
    worker = WorkerStatus(
        name="ssh://node7:1", state="disagrees", since=NOW, host="node7", evaluations=9, losses=2,
        failures=1, busy_seconds=60.5,
    )  # fmt: skip
    file = WorkersFile(tmp_path)
    file.write(WorkersSeen(at=NOW, workers=(worker,)))
    file.close()
    told = samples(session(tmp_path))
    row = "one node7 {}ssh://node7:1".format
    assert told["avo_worker_state", row("disagrees ")] == 1
    assert told["avo_worker_state", row("idle ")] == 0
    assert told["avo_worker_evaluations_total", row("")] == 9
    assert told["avo_worker_losses_total", row("")] == 2
    assert told["avo_worker_busy_seconds_total", row("")] == 60.5
    gone = samples(session(tmp_path, engine=EngineStatus(alive=False)))
    assert not [key for key in gone if key[0].startswith("avo_worker")]
