"""Record the lineage of this folder as a session: each kernel goes through harness and gate.

    python benchmarks/hopper_lineage/record.py --sessions sessions --out results --seconds 540

The seed of the task is evaluated, then each version and each failed try is submitted with its plan
and summary, as `avo submit` does; the engine runs in this process. After `--seconds` it stops in
good order; the same command then goes on where it stopped. At the end the best version is evaluated
again from fresh processes, and tables are printed and written to `--out`. With `--gqa` the best
version is carried over to the task of grouped queries afterwards.

Exit status: 0 when all is recorded, 1 when it cannot be done, 3 when something is left for another
call.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib.util
import os
import subprocess
import sys
import tarfile
import tempfile
import threading
import time
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
if str(ROOT) not in sys.path:  # the checkout need not be installed
    sys.path.insert(0, str(ROOT))

from avo_tui.domain import events as ev  # noqa: E402
from avo_tui.domain.candidate import Candidate  # noqa: E402
from avo_tui.domain.commands import Stop, Submit, parse_command  # noqa: E402
from avo_tui.domain.records import RunSettings  # noqa: E402
from avo_tui.domain.task import TaskInfo  # noqa: E402
from avo_tui.domain.verdict import EvaluationReport, Verdict  # noqa: E402
from avo_tui.evaluation.candidates import read_candidate  # noqa: E402
from avo_tui.evaluation.ports import EvaluatorError  # noqa: E402
from avo_tui.evaluation.tasks import find_tasks  # noqa: E402
from avo_tui.evolution.create import create_session  # noqa: E402
from avo_tui.evolution.headless import Printer  # noqa: E402
from avo_tui.evolution.process import run_engine  # noqa: E402
from avo_tui.store import SessionReader, StoreError, engine_status, send_command  # noqa: E402
from benchmarks.hopper_lineage import tables  # noqa: E402

FIRST_GUESS = 60.0
"""Seconds that one evaluation is thought to take before one was seen."""
BY = "record.py"
"""Who gives the commands, for the record."""
LEFT = 3
"""Exit status where the time ended first."""


class CannotRecord(Exception):  # noqa: N818 - reads as a sentence
    """Why nothing can be recorded here, in one sentence."""


@dataclass
class Deadline:
    """When everything must be at its end."""

    seconds: float | None
    began: float = field(default_factory=time.monotonic)

    @property
    def left(self) -> float:
        """Seconds left; infinite without a limit."""
        if self.seconds is None:
            return float("inf")
        return self.began + self.seconds - time.monotonic()


@dataclass
class Item:
    """One candidate of the lineage."""

    entry: dict[str, Any]
    candidate: Candidate

    def plan(self) -> str:
        """What a version's plan says: what and why, and what was expected."""
        parts = [self.entry["title"], self.entry.get("plan", "")]
        if self.entry.get("prediction"):
            parts.append(f"Prediction: {self.entry['prediction']}.")
        return "\n\n".join(p for p in parts if p)

    def summary(self) -> str:
        """What a version's summary says, with what was measured before outside of avo."""
        parts = [self.entry.get("summary", "")]
        if self.entry.get("outcome"):
            parts.append(f"Measured before, outside of avo: {self.entry['outcome']}")
        return " ".join(p for p in parts if p)


def load(path: Path) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The head of a lineage's file, and its entries. Raises CannotRecord."""
    try:
        body = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise CannotRecord(f"{path} cannot be read: {error}") from error
    return body, list(body.pop("entry", []))


def choose(
    path: Path, entries: list[dict[str, Any]], *, untried: bool, hanging: bool
) -> list[Item]:
    """What is to be submitted: versions in their order, then the tries. Raises CannotRecord."""
    wanted = ["version", *(["untried"] if untried else []), "failed"]
    items = []
    for kind in wanted:
        for entry in entries:
            if entry["kind"] != kind or (entry.get("hangs") and not hanging):
                continue
            try:
                items.append(Item(entry, read_candidate(path.parent / entry["folder"])))
            except EvaluatorError as error:
                raise CannotRecord(str(error)) from error
    return items


def look_at_machine(task: TaskInfo) -> None:
    """Says early what is missing. Raises CannotRecord."""
    if task.language == "cuda":
        _look_at_gpu(task)
    if importlib.util.find_spec("torch") is None:
        raise CannotRecord("torch is missing; it computes references and baselines")


def _look_at_gpu(task: TaskInfo) -> None:
    from avo_tui.evaluation.backends.cuda.device import NoGpu, probe

    found = asyncio.run(probe())
    if isinstance(found, NoGpu):
        raise CannotRecord(f"{task.name} needs a GPU: {found.reason}")
    for module, what in (("fa3_fwd_interface", "fa3-fwd"), ("cuda.core", "cuda-core")):
        try:
            there = importlib.util.find_spec(module) is not None
        except ModuleNotFoundError:
            there = False
        if not there:
            print(f"note: {what} is not installed", flush=True)


class Submitter:
    """Listens to the engine and hands in one candidate after the other."""

    def __init__(self, folder: Path, items: list[Item], deadline: Deadline) -> None:
        self._folder = folder
        self._deadline = deadline
        self._all = items
        self._pending = _pending(folder)
        """Submissions that lay in the inbox already, from a call that was stopped."""
        self._in_flight: set[str] = set(self._pending)
        self._numbers: dict[str, int] = {}
        self._began = time.monotonic()
        self._longest = 0.0
        self._stopping = False
        self.reason = ""
        """Why it ended before everything was submitted."""
        state = SessionReader.open(folder).state
        by_candidate = {i.candidate.id: i.entry["name"] for i in items}
        for version in state.versions.values():
            self._numbers.setdefault(by_candidate.get(version.candidate, ""), version.number)
        known = judged(folder) | set(self._pending.values())
        self._queue = [item for item in items if item.candidate.id not in known]

    def __call__(self, event: ev.Event) -> None:
        """Takes note of an event; sends the next command where one is due."""
        if isinstance(event, ev.VersionCommitted):
            name = self._name_of(event.version.candidate)
            self._numbers.setdefault(name, event.version.number)
        if isinstance(event, ev.CommandTaken) and event.id in self._in_flight:
            self._in_flight.discard(event.id)
            self._longest = max(self._longest, time.monotonic() - self._began)
            self._next()
        elif isinstance(event, ev.StateChanged):
            if event.state in {"paused", "parked"}:
                self.stop(event.reason)
            elif event.state == "running" and not event.reason and not self._in_flight:
                self._next()

    def _name_of(self, identity: str) -> str:
        found = [i.entry["name"] for i in self._all if i.candidate.id == identity]
        return found[0] if found else ""

    @property
    def left(self) -> int:
        """How many were not handed in, or not judged."""
        return len(self._queue) + len(self._in_flight)

    def stop(self, reason: str) -> None:
        """Ends the run in good order; safe to call from any thread."""
        if not self._stopping:
            self._stopping, self.reason = True, reason
            send_command(self._folder, Stop(by=BY))

    def _next(self) -> None:
        if self._stopping or self._in_flight:
            return
        if not self._queue:
            self.stop("")
            return
        guess = max(self._longest, FIRST_GUESS if self._longest == 0.0 else 0.0)
        if self._deadline.left < guess:
            self.stop(
                f"{self._deadline.left:.0f} s are left, and an evaluation may take {guess:.0f}"
            )
            return
        item = self._queue.pop(0)
        self._began = time.monotonic()
        command = Submit(
            candidate=item.candidate,
            plan=item.plan(),
            summary=item.summary(),
            parent=self._numbers.get(item.entry.get("parent", "")),
            author="external",
            by=BY,
        )
        self._in_flight.add(send_command(self._folder, command))


def _pending(folder: Path) -> dict[str, str]:
    """Command → candidate of the submissions that wait in the inbox; an old stop is removed."""
    found = {}
    for path in sorted((folder / "inbox").glob("*.json")):
        try:
            command = parse_command(path.read_bytes())
        except ValueError:
            continue  # the engine answers it with its own sentence
        if isinstance(command, Stop):
            path.unlink()
        elif isinstance(command, Submit):
            found[path.stem] = command.candidate.id
    return found


def judged(folder: Path) -> set[str]:
    """Candidates of which the session says already what became of them."""
    state = SessionReader.open(folder).state
    done = {version.candidate for version in state.versions.values()}
    for attempt in state.attempts.values():
        verdict = attempt.verdict
        decided = attempt.reason or verdict is not Verdict.CORRECT
        if verdict is not None and verdict.judges_candidate and decided:
            done.add(attempt.candidate)
    return done


def record(folder: Path, items: list[Item], deadline: Deadline) -> tuple[int, str]:
    """Runs the engine over what is left: how many are left then, and why.

    Raises StoreError, ValueError.
    """
    submitter = Submitter(folder, items, deadline)
    planted = bool(SessionReader.open(folder).state.versions)
    if not submitter.left and planted:
        return 0, ""
    alarm: threading.Timer | None = None
    if deadline.seconds is not None:
        alarm = threading.Timer(max(deadline.left, 0.0), submitter.stop, ["the time is up"])
        alarm.daemon = True
        alarm.start()
    try:
        run_engine(folder, listeners=[Printer(sys.stdout), submitter], resume=True)
    finally:
        if alarm is not None:
            alarm.cancel()
    planted = bool(SessionReader.open(folder).state.versions)
    done = judged(folder)
    left = sum(item.candidate.id not in done for item in items) + (0 if planted else 1)
    return left, submitter.reason


def best(folder: Path) -> int:
    """The number of the version with the highest aggregate. Raises CannotRecord."""
    versions = SessionReader.open(folder).state.versions
    if not versions:
        raise CannotRecord(f"{folder.name} has no version yet")
    return max(versions.values(), key=lambda v: v.aggregate).number


def evaluate_fresh(
    folder: Path, times: int, deadline: Deadline, guess: float
) -> list[dict[str, Any]]:
    """The best version evaluated again, each time by a new process; a row for each."""
    reader = SessionReader.open(folder)
    number = best(folder)
    candidate = reader.candidate(reader.state.versions[number].candidate)
    task = reader.state.session.task.name
    rows = []
    with tempfile.TemporaryDirectory(prefix="avo-best-") as place:
        for name, text in candidate.files.items():
            target = Path(place, name)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text, encoding="utf-8")
        for turn in range(1, times + 1):
            if deadline.left < guess:
                print(f"no time for fresh evaluation {turn} of {times}", flush=True)
                break
            print(f"{folder.name} v{number}: fresh evaluation {turn} of {times}", flush=True)
            began = time.monotonic()
            command = [sys.executable, "-m", "avo_tui.evaluation", task, place, "--json"]
            try:
                done = subprocess.run(
                    command,
                    capture_output=True,
                    text=True,
                    timeout=None if deadline.seconds is None else max(deadline.left, 1.0),
                    check=False,
                )
            except subprocess.TimeoutExpired:
                print(f"no time for fresh evaluation {turn} of {times}", flush=True)
                break
            if not done.stdout.strip():
                print(f"it gave no report: {done.stderr.strip()[-500:]}", flush=True)
                break
            report = EvaluationReport.model_validate_json(_plain(done.stdout))
            guess = max(guess, time.monotonic() - began)
            rows.append({"version": number, **tables.report_row(report)})
            whole = rows[-1]["ratios"].get("all", {})
            said = ", ".join(f"{v:.3f} of {tables.NAMES.get(k, k)}" for k, v in whole.items())
            print(f"  {report.verdict.value}: {said}", flush=True)
    return rows


def _plain(text: str) -> str:
    """The report without what the command line adds to it."""
    import json

    body = json.loads(text)
    body["seconds"].pop("total", None)
    for name in ("correct", "aggregate", "geomean", "noise"):
        (body["score"] or {}).pop(name, None)
    return json.dumps(body)


def session_folder(name: str, task: str, gate: str, origin: str | None = None) -> Path:
    """The session's folder; made where it is not there yet. Raises StoreError, EvaluatorError."""
    folder = Path(os.environ["AVO_SESSIONS"], name)
    if folder.exists():
        SessionReader.open(folder)
        if engine_status(folder / "engine.lock").alive:
            raise CannotRecord(f"an engine runs {name} already")
        return folder
    settings = RunSettings.model_validate({"operator": "external", "gate": gate})
    return create_session(name, find_tasks().get(task).info(), settings, origin)


def report(
    folder: Path,
    items: list[Item],
    entries: list[dict[str, Any]],
    fresh: list[dict[str, Any]],
    out: Path | None,
) -> None:
    """Prints the tables of a session, and writes them."""
    names = {item.candidate.id: item.entry for item in items}
    seed = SessionReader.open(folder).state.versions.get(0)
    first = next((e for e in entries if e["kind"] == "seed"), None)
    if seed is not None and first is not None and not seed.summary.startswith("Carried"):
        names.setdefault(seed.candidate, first)
    rows = tables.session_rows(folder, names)
    device = next((row["device"] for row in rows if row["device"]), "")
    text = f"# {folder.name}\n\nMeasured on: {device}.\n\n" + tables.markdown(rows)
    if fresh:
        text += tables.evaluation_markdown(f"v{fresh[0]['version']}", fresh)
    print(text, flush=True)
    if out is not None:
        tables.write(out, folder.name, text, {"session": folder.name, "rows": rows, "fresh": fresh})


def _arguments(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").splitlines()[0],
        epilog="example: record.py --sessions sessions --out results --seconds 540 --gqa",
    )
    parser.add_argument("--sessions", type=Path, default=Path("sessions"), help="their folder")
    parser.add_argument("--lineage", type=Path, default=HERE / "lineage.toml")
    parser.add_argument("--out", type=Path, help="folder for the tables")
    parser.add_argument("--pack", action="store_true", help="also put the sessions into OUT.tar.gz")
    parser.add_argument("--seconds", type=float, help="stop in good order after so long")
    parser.add_argument("--gate", choices=("strict", "paper", "vector"), default="strict")
    parser.add_argument("--again", type=int, default=2, help="fresh evaluations of the best")
    parser.add_argument("--gqa", action="store_true", help="then carry the best over")
    parser.add_argument("--untried", action="store_true", help="also what was never run yet")
    parser.add_argument("--hanging", action="store_true", help="also tries that are known to hang")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    """Record what can be recorded within the time."""
    options = _arguments(arguments)
    deadline = Deadline(options.seconds)
    os.environ["AVO_SESSIONS"] = str(options.sessions.absolute())
    paths = [str(ROOT), *os.environ.get("PYTHONPATH", "").split(os.pathsep)]
    os.environ["PYTHONPATH"] = os.pathsep.join(p for p in dict.fromkeys(paths) if p)
    try:
        return _record_all(options, deadline)
    except (CannotRecord, StoreError, EvaluatorError, ValueError) as error:
        print(error, file=sys.stderr)
        return 1


def _record_all(options: argparse.Namespace, deadline: Deadline) -> int:
    head, entries = load(options.lineage)
    items = choose(options.lineage, entries, untried=options.untried, hanging=options.hanging)
    look_at_machine(find_tasks().get(head["task"]).info())
    options.sessions.mkdir(parents=True, exist_ok=True)
    main_folder = session_folder(head["session"], head["task"], options.gate)
    print(f"session {main_folder.name} at {main_folder}", flush=True)
    left, reason = record(main_folder, items, deadline)
    work = [(main_folder, items)]
    if options.gqa and head.get("transfer_task") and left == 0:
        name, task = head["transfer_session"], head["transfer_task"]
        origin = f"{main_folder.name}:{best(main_folder)}"
        folder = session_folder(name, task, options.gate, origin)
        print(f"session {name} at {folder}, from {origin}", flush=True)
        more, reason = record(folder, [], deadline)
        left += more
        work.append((folder, []))
    for folder, its in work:
        state = SessionReader.open(folder).state
        fresh: list[dict[str, Any]] = []
        if left == 0 and options.again > 0:
            guess = max((a.seconds for a in state.attempts.values()), default=FIRST_GUESS)
            fresh = evaluate_fresh(folder, options.again, deadline, guess)
            if len(fresh) < options.again:
                left += options.again - len(fresh)
        report(folder, its, entries, fresh, options.out)
    if options.pack and options.out is not None:
        options.out.mkdir(parents=True, exist_ok=True)
        with tarfile.open(options.out / "sessions.tar.gz", "w:gz") as archive:
            for folder, _ in work:
                archive.add(folder, arcname=folder.name)
    if left:
        print(
            f"{left} left{': ' + reason if reason else ''}; run the same command again", flush=True
        )
        return LEFT
    return 0


if __name__ == "__main__":
    sys.exit(main())
