"""Record the lineage of this folder as a session: each kernel goes through harness and gate.

    python benchmarks/hopper_lineage/record.py --sessions sessions --out results --seconds 540

The seed of the task is evaluated, then each version is submitted with its plan and summary, as
`avo submit` does; the engine runs in this process. Then the best version is evaluated again from
fresh processes, with `--gqa` carried over to the task of grouped queries, and the failed tries
come last. After `--seconds` it stops in good order; the same command then goes on where it
stopped. Tables are printed and written to `--out`.

Exit status: 0 when all is recorded, 1 when it cannot be done, 3 when something is left for another
call.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib.util
import json
import os
import platform
import subprocess
import sys
import tarfile
import tempfile
import time
from pathlib import Path
from typing import Any
from unittest import mock

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
if str(ROOT) not in sys.path:  # the checkout need not be installed
    sys.path.insert(0, str(ROOT))

from avo_tui.domain.commands import Rewind  # noqa: E402
from avo_tui.domain.report import EvaluationReport  # noqa: E402
from avo_tui.domain.run_settings import RunSettings  # noqa: E402
from avo_tui.domain.task import TaskInfo  # noqa: E402
from avo_tui.evaluation.ports import EvaluatorError  # noqa: E402
from avo_tui.evaluation.tasks import find_tasks  # noqa: E402
from avo_tui.evolution.create import create_session  # noqa: E402
from avo_tui.store import (  # noqa: E402
    SessionReader,
    StoreError,
    engine_status,
    known_sessions,
    send_command,
)
from benchmarks.hopper_lineage import tables  # noqa: E402
from benchmarks.hopper_lineage.submitting import (  # noqa: E402
    BY,
    FIRST_GUESS,
    CannotRecord,
    Deadline,
    Submitter,
    best,
    choose,
    load,
    record,
)

LEFT = 3
"""Exit status where the time ended first."""
PACK = "sessions.tar.gz"
HOST = "gpu"
"""What the record calls the machine: sessions are published, its own name is nobody's affair."""
OF_THE_ENGINE = frozenset({"engine.lock", "engine.log", "reserve"})
"""Files of a session's folder that a later engine makes anew."""


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


class Fresh:
    """Evaluations of a session's best version, each by a new process; kept beside the session."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.file = folder.with_name(f"{folder.name}-fresh.json")
        found = json.loads(self.file.read_text("utf-8")) if self.file.exists() else []
        state = SessionReader.open(folder).state
        now = state.versions[best(folder)].candidate if state.versions else ""
        self.rows: list[dict[str, Any]] = [row for row in found if row["candidate"] == now]
        """Of the version that is the best now."""

    def evaluate(self, times: int, deadline: Deadline, guess: float) -> int:
        """Evaluates until there are so many; how many are missing for lack of time."""
        reader = SessionReader.open(self._folder)
        number = best(self._folder)
        guess = max((a.seconds for a in reader.state.attempts.values()), default=guess)
        candidate = reader.candidate(reader.state.versions[number].candidate)
        with tempfile.TemporaryDirectory(prefix="avo-best-") as place:
            for name, text in candidate.files.items():
                target = Path(place, name)
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_text(text, encoding="utf-8")
            while len(self.rows) < times:
                turn = f"fresh evaluation {len(self.rows) + 1} of {times}"
                if deadline.left < guess:
                    print(f"no time for {turn} of {self._folder.name}", flush=True)
                    break
                print(f"{self._folder.name} v{number}: {turn}", flush=True)
                began = time.monotonic()
                row = _evaluate(reader.state.session.task.name, place, deadline)
                if row is None:
                    break
                guess = max(guess, time.monotonic() - began)
                self.rows.append({"version": number, **row})
                self.file.write_text(json.dumps(self.rows, indent=1) + "\n", encoding="utf-8")
        return max(0, times - len(self.rows))


def _evaluate(task: str, place: str, deadline: Deadline) -> dict[str, Any] | None:
    """One evaluation by a process of its own; None where it gave no report."""
    command = [sys.executable, "-m", "avo_tui.evaluation", task, place, "--json"]
    limit = None if deadline.seconds is None else max(deadline.left, 1.0)
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=limit, check=False)
    except subprocess.TimeoutExpired:
        print("  it did not end in time", flush=True)
        return None
    if not done.stdout.strip():
        print(f"  it gave no report: {done.stderr.strip()[-500:]}", flush=True)
        return None
    report = EvaluationReport.model_validate_json(_plain(done.stdout))
    if not report.correct:
        print(f"  {report.verdict.value}: {report.feedback.summary}", flush=True)
        return None
    row = tables.report_row(report)
    whole = row["ratios"].get("all", {})
    said = ", ".join(f"{v:.3f} of {tables.NAMES.get(k, k)}" for k, v in whole.items())
    print(f"  {row['seconds']} s: {said}", flush=True)
    return row


def _plain(text: str) -> str:
    """The report without what the command line adds to it."""
    body = json.loads(text)
    body["seconds"].pop("total", None)
    for name in ("correct", "aggregate", "geomean", "noise"):
        (body["score"] or {}).pop(name, None)
    return json.dumps(body)


def report(folder: Path, entries: dict[str, dict[str, Any]], out: Path | None) -> None:
    """Prints the tables of a session, and writes them. `entries`: candidate → its entry."""
    seed = SessionReader.open(folder).state.versions.get(0)
    names = dict(entries)
    first = names.pop("", None)
    if seed is not None and first is not None and not seed.summary.startswith("Carried"):
        names.setdefault(seed.candidate, first)
    fresh = Fresh(folder).rows
    rows = tables.session_rows(folder, names)
    device = next((row["device"] for row in rows if row["device"]), "")
    text = f"# {folder.name}\n\nMeasured on: {device}.\n\n" + tables.markdown(rows)
    if fresh:
        text += tables.evaluation_markdown(f"v{fresh[0]['version']}", fresh)
    if out is not None:
        tables.write(out, folder.name, text, {"session": folder.name, "rows": rows, "fresh": fresh})
    print(text, flush=True)


def pack(sessions: Path, out: Path) -> None:
    """Puts the folder of sessions into one file, which is whole at any moment."""
    out.mkdir(parents=True, exist_ok=True)
    unfinished = out / f".{PACK}"
    with tarfile.open(unfinished, "w:gz", compresslevel=6) as archive:
        for path in sorted(sessions.iterdir()):
            archive.add(path, arcname=path.name, filter=_packed)
    unfinished.replace(out / PACK)


def _packed(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
    """A file as it is packed, without the owner's name; None for what is not part of the record."""
    path = Path(member.name)
    if path.name in OF_THE_ENGINE or path.parent.name == "inbox":
        return None
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    return member


def unpack(archive: Path, sessions: Path) -> None:
    """Takes the sessions of an earlier call along, where there are none yet."""
    if any(sessions.iterdir()) or not archive.is_file():
        return
    with tarfile.open(archive) as file:
        file.extractall(sessions, filter="data")
    for folder in sessions.iterdir():
        if (folder / "session.json").exists():
            known_sessions.remember(folder)
    print(f"going on with {', '.join(sorted(p.name for p in sessions.iterdir()))}", flush=True)


class Recording:
    """All that is to be recorded, the valuable part first."""

    def __init__(self, options: argparse.Namespace, deadline: Deadline) -> None:
        self._options, self._deadline = options, deadline
        self.head, entries = load(options.lineage)
        self._versions = choose(options.lineage, entries, "version")
        self._transfers = choose(options.lineage, entries, "transfer")
        tries = choose(options.lineage, entries, "failed")
        self._tries = [i for i in tries if options.hanging or not i.entry.get("hangs")]
        items = [*self._versions, *self._transfers, *self._tries]
        self._names = {item.candidate.id: item.entry["name"] for item in items}
        self._entries = {item.candidate.id: item.entry for item in items}
        seed = next((e for e in entries if e["kind"] == "seed"), None)
        if seed is not None:
            self._entries[""] = seed
        self.folders: list[Path] = []
        self.reason = ""

    def work(self) -> int:
        """Records until nothing is left or the time is up; how much is left of the part reached.

        Raises CannotRecord, StoreError, EvaluatorError, ValueError.
        """
        gate, head = self._options.gate, self.head
        main = session_folder(head["session"], head["task"], gate)
        self.folders.append(main)
        print(f"session {main.name}", flush=True)
        if self._options.rewind is not None:
            why = "versions that are not measured by their speed alone branch off here"
            send_command(main, Rewind(version=self._options.rewind, reason=why, by=BY))
        if left := self._record(main, self._versions) or self._fresh(main):
            return left
        if self._options.gqa and head.get("transfer_task"):
            origin = f"{main.name}:{best(main)}"
            other = session_folder(head["transfer_session"], head["transfer_task"], gate, origin)
            self.folders.append(other)
            print(f"session {other.name}, from {origin}", flush=True)
            if left := self._record(other, self._transfers) or self._fresh(other):
                return left
        return self._record(main, self._tries)

    def _record(self, folder: Path, items: list[Any]) -> int:
        submitter = Submitter(
            folder, items, self._names, self._deadline, self._options.guess, self.keep
        )
        left, self.reason = record(submitter)
        return left

    def _fresh(self, folder: Path) -> int:
        return Fresh(folder).evaluate(self._options.again, self._deadline, self._options.guess)

    def keep(self) -> None:
        """Packs what there is, so that an end by force loses one candidate at most."""
        if self._options.pack:
            pack(self._options.sessions, self._options.out)

    def tell(self) -> None:
        """Prints and writes the tables of what was recorded."""
        self.keep()
        for folder in self.folders:
            entries = self._entries if folder == self.folders[0] else {}
            report(folder, entries, self._options.out)


def _arguments(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").splitlines()[0],
        epilog="example: record.py --sessions sessions --out results --seconds 540 --gqa",
    )
    parser.add_argument("--sessions", type=Path, default=Path("sessions"), help="their folder")
    parser.add_argument("--lineage", type=Path, default=HERE / "lineage.toml")
    parser.add_argument("--out", type=Path, help="folder for the tables")
    parser.add_argument("--pack", action="store_true", help=f"also keep OUT/{PACK} up to date")
    parser.add_argument("--unpack", type=Path, help=f"go on with the {PACK} of an earlier call")
    parser.add_argument("--seconds", type=float, help="stop in good order after so long")
    parser.add_argument(
        "--guess", type=float, default=FIRST_GUESS, help="seconds of an evaluation before any"
    )
    parser.add_argument("--gate", choices=("strict", "paper", "vector"), default="strict")
    parser.add_argument("--again", type=int, default=2, help="fresh evaluations of the best")
    parser.add_argument("--rewind", type=int, help="the version to begin from, of a session")
    parser.add_argument("--gqa", action="store_true", help="then carry the best over")
    parser.add_argument("--hanging", action="store_true", help="also tries that are known to hang")
    found = parser.parse_args(arguments)
    if found.pack and found.out is None:
        parser.error("--pack needs --out")
    return found


def main(arguments: list[str] | None = None) -> int:
    """Record what can be recorded within the time."""
    options = _arguments(arguments)
    deadline = Deadline(options.seconds)
    os.environ["AVO_SESSIONS"] = str(options.sessions.absolute())
    paths = [str(ROOT), *os.environ.get("PYTHONPATH", "").split(os.pathsep)]
    os.environ["PYTHONPATH"] = os.pathsep.join(p for p in dict.fromkeys(paths) if p)
    try:
        recording = Recording(options, deadline)
        look_at_machine(find_tasks().get(recording.head["task"]).info())
        options.sessions.mkdir(parents=True, exist_ok=True)
        if options.unpack is not None:
            unpack(options.unpack, options.sessions)
        try:
            with mock.patch.object(platform, "node", return_value=HOST):
                left = recording.work()
        finally:
            recording.tell()
    except (CannotRecord, StoreError, EvaluatorError, ValueError) as error:
        print(error, file=sys.stderr)
        return 1
    if left:
        why = f": {recording.reason}" if recording.reason else ""
        print(f"{left} left here{why}; run the same command again", flush=True)
        return LEFT
    return 0


if __name__ == "__main__":
    sys.exit(main())
