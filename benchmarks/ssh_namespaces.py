"""Two machines over ssh, each in a network namespace of its own, and a network that goes away.

    sudo python benchmarks/ssh_namespaces.py [--count 60] [--away 120] [--work 4]

Needs root, `ip` (Debian: iproute2) and sshd (openssh-server). Two network namespaces stand for two
machines: each has an sshd, its own address and one cable (a veth pair) to this one. `--count`
evaluations of the tests' small attention task are given to both, each of another source (a comment
is added). After a quarter of them the cable of the first machine is unplugged, for `--away`
seconds; half a minute after it is plugged in again, the second machine's is, for 15 seconds.

Prints what the fleet says of each machine as it changes, seconds from the beginning; then how many
evaluations were lost or answered twice, which machine made how many, and how many workers there
still are on the machines, first while the cable is out, and after the end.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from avo_tui.domain.candidate import Candidate  # noqa: E402
from avo_tui.domain.questions import EvaluateQuestion, SeedQuestion  # noqa: E402
from avo_tui.domain.run_settings import RunSettings  # noqa: E402
from avo_tui.evaluation.evaluators import make_evaluator  # noqa: E402
from avo_tui.evaluation.workers.fleet import Fleet  # noqa: E402
from tests.evaluation.evaluation_support import TASKS  # noqa: E402
from tests.evaluation.workers import sshd  # noqa: E402

TASK = "tiny_attention"
PLUGGED_AGAIN = 30.0
SHORT = 15.0


@dataclass
class Machine:
    """A network namespace with a cable to this one."""

    number: int

    @property
    def name(self) -> str:
        return f"avo{os.getpid()}-{self.number}"

    @property
    def cable(self) -> str:
        """This end of it; names of interfaces have at most 15 characters."""
        return f"av{os.getpid()}n{self.number}"

    @property
    def address(self) -> str:
        return f"10.77.{self.number}.2"

    @property
    def inside(self) -> tuple[str, ...]:
        """What a command begins with that runs there."""
        return ("ip", "netns", "exec", self.name)

    def begin(self) -> None:
        """Make it, its cable plugged in."""
        far = f"{self.cable}x"
        run("ip", "netns", "add", self.name)
        run("ip", "link", "add", self.cable, "type", "veth", "peer", "name", far)
        run("ip", "link", "set", far, "netns", self.name)
        run("ip", "addr", "add", f"10.77.{self.number}.1/24", "dev", self.cable)
        run(*self.inside, "ip", "addr", "add", f"{self.address}/24", "dev", far)
        run(*self.inside, "ip", "link", "set", far, "up")
        run(*self.inside, "ip", "link", "set", "lo", "up")
        self.plug(True)

    def plug(self, there: bool) -> None:
        """Plug the cable in, or pull it out."""
        run("ip", "link", "set", self.cable, "up" if there else "down")

    def end(self) -> None:
        """Remove it."""
        subprocess.run(["ip", "link", "del", self.cable], check=False)
        subprocess.run(["ip", "netns", "del", self.name], check=False)

    def workers(self) -> int:
        """Processes there that evaluate."""
        own = Path(f"/run/netns/{self.name}").stat().st_ino
        count = 0
        for process in psutil.process_iter(["pid", "cmdline"]):
            try:
                there = Path(f"/proc/{process.info['pid']}/ns/net").stat().st_ino == own
            except OSError:
                continue
            count += there and "--serve" in (process.info["cmdline"] or [])
        return count


def run(*command: str) -> None:
    """A command that must succeed."""
    subprocess.run(command, check=True)


@contextmanager
def machines(folder: Path, environment: dict[str, str]) -> Iterator[tuple[list[Machine], str]]:
    """Two of them with their servers, and the URL of both."""
    cores = sorted(os.sched_getaffinity(0))
    with ExitStack() as stack:
        made, urls = [], []
        for number in (1, 2):
            machine = Machine(number)
            stack.callback(machine.end)
            machine.begin()
            own = folder / f"ssh{number}"
            own.mkdir()
            server = stack.enter_context(
                sshd.running(own, environment, machine.address, machine.inside)
            )
            query = f"python={sys.executable}&config={server.config}"
            core = cores[(number - 1) % len(cores)]
            urls.append(f"ssh://{machine.address}:{server.port}?{query}&devices={core}")
            made.append(machine)
        yield made, " ".join(urls)


class Told:
    """Prints what the fleet says of its machines, where it changes."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet, self._before = fleet, dict[str, str]()
        self.began = time.monotonic()

    def say(self, text: str) -> None:
        print(f"{time.monotonic() - self.began:7.1f} s  {text}", flush=True)

    async def watch(self) -> None:
        """Until it is cancelled."""
        while True:
            for worker in self._fleet.workers():
                now = f"{worker.state} {worker.reason}".strip() + f", losses {worker.losses}"
                if self._before.get(worker.name) != now:
                    self._before[worker.name] = now
                    self.say(f"{worker.name}: {now}")
            await asyncio.sleep(0.2)


async def evaluate(url: str, made: list[Machine], options: argparse.Namespace) -> None:
    """Prints all of it."""
    fleet = make_evaluator(RunSettings(evaluator=url), TASK)
    assert isinstance(fleet, Fleet)
    answers, where, verdicts = Counter[str](), Counter[str](), Counter[str]()
    given: set[str] = set()
    begun = asyncio.Event()
    finished = asyncio.Event()
    async with fleet:
        told = Told(fleet)
        watching = asyncio.create_task(told.watch())
        first = await fleet.ask(TASK, SeedQuestion())
        name, source = next(iter(first.files.items()))
        room = asyncio.Semaphore(options.work)

        async def one(number: int) -> None:
            candidate = Candidate(files={**first.files, name: f"{source}\n// copy {number}\n"})
            given.add(candidate.id)
            async with room:
                report = await fleet.ask(TASK, EvaluateQuestion(files=candidate.files))
            answers[report.candidate] += 1
            verdicts[report.verdict.value] += 1
            where[report.worker] += 1
            if sum(answers.values()) * 4 >= options.count:
                begun.set()

        async def cut() -> None:
            await begun.wait()
            one_machine, other = made
            for machine, seconds in ((one_machine, options.away), (other, SHORT)):
                machine.plug(False)
                told.say(f"{machine.address}: the cable is pulled out for {seconds:g} s")
                await asyncio.sleep(seconds)
                told.say(
                    f"{machine.address}: plugged in; {machine.workers()} workers were still there,"
                    f" {sum(answers.values())} evaluations answered so far"
                )
                machine.plug(True)
                await asyncio.sleep(PLUGGED_AGAIN)
            finished.set()

        cutting = asyncio.create_task(cut())
        await asyncio.gather(*(one(number) for number in range(options.count)))
        told.say("all evaluations are answered")
        await finished.wait()
        await cutting
        watching.cancel()
    told.say("the fleet has ended")
    for _ in range(600):
        left = sum(machine.workers() for machine in made)
        if not left:
            break
        await asyncio.sleep(0.2)
    told.say(f"{left} workers are left on the machines")
    print(f"lost: {len(given - answers.keys())}; doubled: {sum(answers.values()) - len(answers)}")
    print(f"verdicts: {dict(verdicts)}; made by: {dict(where)}")


def main() -> None:
    """Makes the machines, and removes them."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--count", type=int, default=60)
    parser.add_argument("--away", type=float, default=120.0, metavar="SECONDS")
    parser.add_argument("--work", type=int, default=4, help="evaluations at the same time")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="avo-netns-") as name:
        folder = Path(name)
        folder.chmod(0o711)
        home = folder / "home"
        home.mkdir()
        environment = {
            "PYTHONPATH": str(ROOT), "AVO_KERNELS": str(TASKS),
            "AVO_CACHE": str(home), "XDG_RUNTIME_DIR": str(home), "AVO_SCRATCH": str(home),
        }  # fmt: skip
        os.environ.update(environment)
        with machines(folder, environment) as (made, url):
            asyncio.run(evaluate(url, made, options))


if __name__ == "__main__":
    main()
