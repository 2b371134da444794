"""A campaign of many lines: start, processor, memory, screens, one line paused, one ended.

    python benchmarks/campaign_scale.py --lines 64 [--evaluations 192] [--pictures DIR]

The lines are real: `avo campaign run` with the tuner on the tests' small attention task, each line
with an engine and an evaluation worker of its own. They are dealt to the cores (`--devices`: all,
one each). The table says, in seconds since the command: when every line had an engine and when
every line had measured its seed; how much processor and memory each kind of process took (memory is
PSS, so that shared pages count once); how long the screen of the campaign takes until it shows its
lines, in three sizes (tmux; the text goes to `--pictures`); and how long pausing one line, ending
one and ending the rest took. Memory is watched: with less than `--spare` MiB free the campaign is
ended, and the output says how far it had come.
"""

from __future__ import annotations

import argparse
import atexit
import os
import platform
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

import psutil

ROOT = Path(__file__).resolve().parents[1]
if str(ROOT) not in sys.path:  # the checkout's benchmarks are no installed package
    sys.path.insert(0, str(ROOT))

from avo_tui.store import CampaignFolder, CampaignReader  # noqa: E402
from avo_tui.store.campaign_reader import CampaignView  # noqa: E402
from tests.ui.tmux_window import TmuxWindow  # noqa: E402

NAME, TASK = "scale", "small_attention"
SIZES = ((80, 24), (120, 40), (200, 50))
MIB = 1 << 20
KINDS = {
    "avo_tui.campaign": "conductor", "avo_tui.evolution": "engines",
    "avo_tui.evaluation": "evaluation workers",
}  # fmt: skip


def small_task(folder: Path) -> Path:
    """A folder with attention_cpu at the tests' small sizes; its seed has tunables."""
    task, real = folder / TASK, ROOT / "kernels" / "attention_cpu"
    shutil.copytree(ROOT / "tests/evaluation/tasks/tiny_attention", task)
    shutil.rmtree(task / "seed")
    shutil.copytree(real / "seed", task / "seed")
    text = (task / "task.py").read_text().replace("tiny_attention", TASK)
    text = text.replace('Path(__file__).resolve().parents[4] / "kernels"', repr(real.parent))
    (task / "task.py").write_text(text.replace("import Path", "import Path, PosixPath"))
    return folder


class Campaign:
    """A campaign in a home of its own, and the processes that belong to it."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.environment = {
            **os.environ,
            "PYTHONPATH": str(ROOT), "AVO_KERNELS": str(small_task(home / "kernels")),
            "AVO_SESSIONS": str(home / "sessions"), "AVO_CACHE": str(home / "cache"),
            "XDG_STATE_HOME": str(home / "state"), "XDG_CONFIG_HOME": str(home / "config"),
            "XDG_RUNTIME_DIR": str(home / "runtime"),
        }  # fmt: skip
        for name in ("sessions", "runtime"):
            (home / name).mkdir()

    def avo(self, *arguments: str) -> float:
        """Runs a command, which must succeed; returns its seconds."""
        began = time.monotonic()
        command = [sys.executable, "-m", "avo_tui.cli", *arguments]
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(f"avo {' '.join(arguments)}: {done.stdout}{done.stderr}")
        return time.monotonic() - began

    def reader(self) -> CampaignReader:
        """Follows it."""
        return CampaignReader(CampaignFolder(self.home / "sessions" / f".campaign-{NAME}"))

    def processes(self) -> Mapping[str, list[psutil.Process]]:
        """Its processes by kind."""
        kinds: dict[str, list[psutil.Process]] = defaultdict(list)
        mine = str(self.home / "sessions")
        for process in psutil.process_iter(["cmdline", "environ"]):
            if (process.info["environ"] or {}).get("AVO_SESSIONS") == mine:
                module = next((a for a in process.info["cmdline"] or [] if a in KINDS), "")
                kinds[KINDS.get(module, "other")].append(process)
        return kinds


def cost(processes: list[psutil.Process]) -> tuple[float, float]:
    """(processor seconds so far, MiB of memory) of processes together."""
    seconds = memory = 0.0
    for process in processes:
        try:
            times = process.cpu_times()
            seconds += times.user + times.system
            memory += process.memory_full_info().pss / MIB
        except psutil.Error:
            continue
    return seconds, memory


def until(
    what: str, holds: object, campaign: Campaign, began: float, options: argparse.Namespace
) -> float:
    """Seconds since `began` when it holds; ends the campaign where time or memory run out."""
    assert callable(holds)
    while not holds():
        free = psutil.virtual_memory().available / MIB
        if free < options.spare or time.monotonic() - began > options.seconds:
            why = f"{free:.0f} MiB free" if free < options.spare else f"{options.seconds} s passed"
            kinds = {kind: len(its) for kind, its in campaign.processes().items()}
            print(f"given up before {what}: {why}; {kinds}")
            raise SystemExit(1)
        time.sleep(0.5)
    return time.monotonic() - began


def picture(campaign: Campaign, size: tuple[int, int], lines: int, folder: Path | None) -> float:
    """Seconds until the screen of the campaign shows its lines."""
    command = [sys.executable, "-m", "avo_tui.cli", "campaign", "show", NAME]
    began = time.monotonic()
    window = TmuxWindow(f"exec {shlex.join(command)}", size, campaign.environment)
    try:
        window.wait(NAME, f"{min(lines, 3)} ", seconds=240)
        shown = window.wait("1 ", "2 ", seconds=240)
        seconds = time.monotonic() - began
        if folder is not None:
            time.sleep(2)
            shown = window.screen()
            (folder / f"campaign-{lines}-{size[0]}x{size[1]}.txt").write_text(shown)
    finally:
        window.close()
    return seconds


def measure(campaign: Campaign, options: argparse.Namespace) -> None:
    """Prints the table."""
    cores = sorted(os.sched_getaffinity(0))
    rows: list[tuple[str, str]] = []
    atexit.register(show, rows)
    began = time.monotonic()
    seconds = campaign.avo(
        "campaign", "run", TASK, "--lines", str(options.lines), "--operator", "tuner",
        "--evaluations", str(options.evaluations), "--migrate", "2", "--name", NAME,
        "--devices", ",".join(map(str, cores)), "--detach",
    )  # fmt: skip
    rows.append(("`avo campaign run --detach` returns after", f"{seconds:.1f} s"))
    reader = campaign.reader()

    def view() -> CampaignView:
        return reader.view()

    def engines() -> bool:
        return all(line.state not in {"waiting", "starting"} for line in view().lines)

    def seeds() -> bool:
        return all(line.versions for line in view().lines)

    at = until("every line had an engine", engines, campaign, began, options)
    rows.append(("every line has an engine after", f"{at:.1f} s"))
    at = until("every line had measured its seed", seeds, campaign, began, options)
    rows.append(("every line has measured its seed after", f"{at:.1f} s"))
    for kind, its in sorted(campaign.processes().items()):
        processor, memory = cost(its)
        rows.append(
            (f"{len(its)} {kind} by then", f"{processor:.1f} s processor, {memory:.0f} MiB")
        )
    moment, before = time.monotonic(), cost(campaign.processes()["conductor"])[0]
    time.sleep(10)
    share = (cost(campaign.processes()["conductor"])[0] - before) / (time.monotonic() - moment)
    rows.append(("conductor's share of a core", f"{share:.1%}"))
    for size in SIZES:
        shown = picture(campaign, size, options.lines, options.pictures)
        rows.append((f"screen at {size[0]}×{size[1]} after", f"{shown:.1f} s"))
    for verb, more in (("pause", ()), ("end", ("--wait", "300"))):
        running = [line.line.number for line in view().lines if line.state == "running"]
        if running:
            seconds = campaign.avo("campaign", verb, NAME, "--line", str(running[0]), *more)
            rows.append((f"{verb} of line {running[0]}", f"{seconds:.1f} s"))
    states = [line.state for line in view().lines]
    rows.append(("states then", ", ".join(f"{states.count(s)} {s}" for s in sorted(set(states)))))
    used = sum(line.spend.evaluations for line in view().lines)
    rows.append((f"evaluations of {options.evaluations} by then", str(used)))
    seconds = campaign.avo("campaign", "end", NAME, "--wait", "600")
    rows.append(("ending the rest", f"{seconds:.1f} s"))
    left = {kind: len(its) for kind, its in campaign.processes().items() if its}
    rows.append(("processes left", str(left or "none")))


def show(rows: list[tuple[str, str]]) -> None:
    """Prints what was measured, also where it was given up."""
    print("| what | figure |\n|---|---|")
    for what, figure in rows:
        print(f"| {what} | {figure} |")


def main() -> None:
    """Runs it in a temporary home."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--lines", type=int, default=64)
    parser.add_argument("--evaluations", type=int, default=192)
    parser.add_argument("--seconds", type=float, default=900.0, help="when it is given up")
    parser.add_argument("--spare", type=float, default=2048.0, metavar="MIB")
    parser.add_argument("--pictures", type=Path, default=None, metavar="DIR")
    options = parser.parse_args()
    if options.pictures is not None:
        options.pictures.mkdir(parents=True, exist_ok=True)
    memory = psutil.virtual_memory().total / (1 << 30)
    print(
        f"{options.lines} lines, {options.evaluations} evaluations, {platform.node()}: "
        f"{len(os.sched_getaffinity(0))} cores, {memory:.0f} GiB, load {os.getloadavg()[0]:.1f}\n"
    )
    with tempfile.TemporaryDirectory(prefix="avo-lines-") as folder:
        home = Path(folder)
        home.chmod(0o711)
        campaign = Campaign(home)
        try:
            measure(campaign, options)
        finally:
            ending = [sys.executable, "-m", "avo_tui.cli", "campaign", "end", NAME, "--wait", "300"]
            subprocess.run(ending, env=campaign.environment, capture_output=True)


if __name__ == "__main__":
    main()
