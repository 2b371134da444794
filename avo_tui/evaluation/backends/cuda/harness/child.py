"""The loop of the disposable GPU process: requests in as JSON lines, replies out as JSON lines.

`python -m avo_tui.evaluation.backends.cuda.harness.child REPLY_FD OUTPUT_FD OUTPUT_BYTES`
Outputs travel through the shared memory of OUTPUT_FD. With `-` for both a tool watches the process
instead of a worker: what fails is then printed. After an error of the driver the process says so
and ends: the context is lost.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import mmap
import os
import random
import signal
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from cuda.bindings import driver

from avo_tui.domain.task import Configuration
from avo_tui.evaluation.backends.cuda.harness import timing
from avo_tui.evaluation.backends.cuda.harness.candidate import Candidate, Code
from avo_tui.evaluation.backends.cuda.harness.launch import (
    Buffers,
    DriverError,
    Module,
    Runner,
    synchronize,
)
from avo_tui.evaluation.backends.cuda.launch_plan import LaunchPlan
from avo_tui.evaluation.backends.cuda.task import CudaTask
from avo_tui.evaluation.loading import load_task
from avo_tui.evaluation.measurement.dtypes import bits
from avo_tui.evaluation.measurement.judge import place
from avo_tui.evaluation.measurement.statistics import Plan, Turn, kinds_of_rounds, per_kind, turns
from avo_tui.evaluation.task import prepare_baseline

Reply = dict[str, Any]

HandOver = Callable[[Buffers, int, Reply, str], int]
"""Copies the outputs to whoever judges them, from an offset, and notes under a key of the reply
where each lies; returns where they end."""


class CaseRun:
    """Runs a candidate on one case, and again where the case asks for it."""

    def __init__(self, task: CudaTask, candidate: Candidate, hand_over: HandOver) -> None:
        self._task, self._candidate, self._hand_over = task, candidate, hand_over

    def run(self, request: Reply) -> Reply:
        """What came of the case that a request of the worker names."""
        candidate = self._candidate
        inputs = timing.Inputs(request["seed"], request["distribution"])
        reply: Reply = {}
        candidate.prepare(inputs.seed, inputs.distribution)
        reply["milliseconds"] = timing.run_prepared(candidate)
        end = self._hand_over(candidate.current, 0, reply, "outputs")
        reply["damage"] = candidate.damage()
        reply["changed_inputs"] = self._changed(inputs)
        if request["repeat"] and not reply["changed_inputs"]:
            reply["unsteady"] = self._repeat(inputs)
        if request["perturb"] and not reply["changed_inputs"]:
            self._perturbed(inputs, end, reply)
        return reply

    def _perturbed(self, inputs: timing.Inputs, offset: int, reply: Reply) -> None:
        """Runs on changed inputs, where the task has any, and hands those outputs over too."""
        candidate, task = self._candidate, self._task
        configuration = candidate.configuration

        def fill(tensors: dict[str, torch.Tensor]) -> None:
            task.fill(configuration, inputs.seed, inputs.distribution, tensors)
            changed = task.perturb(configuration, tensors, inputs.seed)
            for name, tensor in changed.inputs.items() if changed else ():
                tensors[name].copy_(tensor)

        if task.perturb(configuration, candidate.current.inputs, inputs.seed) is None:
            return
        candidate.prepare_with(fill)
        timing.run_prepared(candidate)
        self._hand_over(candidate.current, offset, reply, "perturbed")
        reply["changed_inputs"] += candidate.changed_persistent()
        reply["damage"] = reply["damage"] or candidate.damage()

    def _changed(self, inputs: timing.Inputs) -> list[str]:
        """Inputs that are not what they were: compared with the same values made again.

        Persistent workspaces are inputs of the timed stages, and compared with a copy.
        """
        candidate = self._candidate
        again = candidate.inputs_again(inputs.seed, inputs.distribution)
        changed = [
            name
            for name, tensor in candidate.current.inputs.items()
            if not torch.equal(bits(tensor), bits(again[name]))
        ]
        return changed + candidate.changed_persistent()

    def _repeat(self, inputs: timing.Inputs) -> str:
        """Runs again on the same inputs, elsewhere in memory; says what differs."""
        candidate = self._candidate
        first = {name: bits(tensor).clone() for name, tensor in candidate.current.outputs.items()}
        candidate.prepare(inputs.seed, inputs.distribution)
        timing.run_prepared(candidate)
        for name, tensor in candidate.current.outputs.items():
            differs = bits(tensor) != first[name]
            if count := int(differs.sum()):
                where = place(name, differs)
                return f"{count} of {tensor.numel()} elements of {name}, the first {where}"
        return ""


PR_SET_PDEATHSIG = 1
ALONE = 5
"""Calls of a baseline before the candidate first runs."""
SLOW_MILLISECONDS = 500.0
"""Milliseconds; a slower candidate is not used to warm up the GPU."""

LONG_MILLISECONDS = 100.0
"""A candidate that takes longer is not timed once more, warm, to plan its rounds by."""


@dataclass(frozen=True)
class Unit:
    """One cubin of a candidate."""

    code: bytes
    symbols: dict[str, str]
    """Entry as the manifest names it → symbol."""
    fresh: bool
    """True where it has variables of its own, so that it is loaded before every run."""


class Harness:
    """The state that the process keeps between requests."""

    def __init__(self, reply_fd: int, output_fd: int, output_bytes: int) -> None:
        self._listened = output_fd >= 0
        self._reply = os.fdopen(reply_fd, "w", encoding="utf-8")
        self._requests: dict[str, Callable[[Reply], Reply]] = {
            "open": self._answer_open,
            "load": self._answer_load,
            "scrub": self._answer_scrub,
            "run": self._answer_run,
            "ceiling": self._answer_ceiling,
            "bench": self._answer_bench,
            "side": self._answer_side,
            "warm": self._answer_warm,
        }
        self.failed = False
        shared = mmap.mmap(output_fd, output_bytes)
        self._shared = torch.frombuffer(shared, dtype=torch.uint8)
        self._task: CudaTask | None = None
        self._units: dict[str, list[Unit]] = {}
        self._scrub: Runner | None = None
        self._baselines: dict[str, Any] = {}

    @property
    def task(self) -> CudaTask:
        """The current task."""
        assert self._task is not None, "the first request must be 'open'"
        return self._task

    def say(self, reply: Reply) -> None:
        """Sends one line."""
        if not reply.get("ok", True):
            self.failed = True
            if not self._listened:
                print(f"failed: {reply.get('doing')}: {reply.get('name', '')}", file=sys.stderr)
        self._reply.write(json.dumps(reply) + "\n")
        self._reply.flush()

    def serve(self) -> None:
        """Answers requests until there are none, or until the context is lost."""
        while line := sys.stdin.readline():
            request = json.loads(line)
            began = time.monotonic()
            try:
                reply = self._requests[request["op"]](request)
                self.say({"ok": True, "seconds": time.monotonic() - began, **reply})
            except DriverError as error:
                self.say(
                    {
                        "ok": False,
                        "kind": "driver",
                        "name": error.name,
                        "doing": error.doing,
                        "stage": error.stage,
                    }
                )
                return
            except torch.cuda.OutOfMemoryError as error:
                self.say({"ok": False, "kind": "memory", "doing": str(error).split(". ")[0]})
                return
            except Exception as error:  # an internal error, or a broken context
                text = "".join(traceback.format_exception(error))[-4000:]
                self.say({"ok": False, "doing": str(error)[:500], "trace": text, **_blame()})
                return

    def _answer_open(self, request: Reply) -> Reply:
        """Loads the task and makes the context."""
        task = load_task(Path(request["task"]))
        assert isinstance(task, CudaTask)
        self._task = task
        torch.backends.cuda.matmul.allow_tf32 = False
        torch.cuda.init()
        torch.zeros(1, device="cuda")
        return {"device": torch.cuda.get_device_name()}

    def _answer_load(self, request: Reply) -> Reply:
        """Takes the cubins of a candidate; they are loaded afresh for every case."""
        self._units[request["who"]] = [
            Unit(Path(unit["path"]).read_bytes(), unit["symbols"], unit["fresh"])
            for unit in request["units"]
        ]
        return {}

    def _answer_scrub(self, request: Reply) -> Reply:
        """Takes the kernel that overwrites the shared memory of all multiprocessors."""
        plan = LaunchPlan.model_validate(request["plan"])
        module = Module(Path(request["path"]).read_bytes(), request["symbols"])
        self._scrub = Runner(plan, module, Buffers((), {}, 0))
        self._scrub()
        synchronize("overwriting shared memory")
        return {}

    def _candidate(self, request: Reply, side: Reply, who: str, *, bare: bool = False) -> Candidate:
        """The candidate `who` on a request's configuration; `side` says its unit and plan."""
        unit = self._units[who][side["unit"]]
        return Candidate(
            self.task,
            Configuration.model_validate(request["configuration"]),
            LaunchPlan.model_validate(side["plan"]),
            Code(lambda: Module(unit.code, unit.symbols), unit.fresh),
            request["seed"],
            scrub=None if bare else self._scrub,
            bare=bare,
        )

    def _answer_run(self, request: Reply) -> Reply:
        """One case of the check."""
        candidate = self._candidate(
            request, request, request["who"], bare=request.get("bare", False)
        )
        reply = CaseRun(self.task, candidate, self._hand_over).run(request)
        candidate.free()
        torch.cuda.empty_cache()
        self._flush()
        return reply

    def _hand_over(self, buffers: Buffers, offset: int, reply: Reply, key: str) -> int:
        """Copies the outputs into the shared memory; returns where they end."""
        reply[key] = {}
        for name, tensor in buffers.outputs.items():
            flat = tensor.view(torch.uint8).flatten()
            self._shared[offset : offset + flat.numel()].copy_(flat)
            reply[key][name] = offset
            offset += flat.numel()
        return offset

    def _answer_ceiling(self, request: Reply) -> Reply:
        """Measures the rate of a large matrix product."""
        return {"ceiling": timing.gemm_ceiling()}

    def _answer_bench(self, request: Reply) -> Reply:
        """Times a candidate beside the baselines on one configuration."""
        pick = random.Random(request["seed"])  # noqa: S311 - not a secret
        us = self._watched("candidate", request, request, pick)
        participant = us.participant
        alone: dict[str, float] = dict(request["alone"])
        if not alone:
            self._stop_until_told()
        baselines, absent = self._alone(us, alone, pick)
        first = timing.once(participant, us.any_inputs(pick))
        fast = [participant, *baselines] if first < SLOW_MILLISECONDS else baselines

        def inputs(who: timing.Participant) -> timing.Inputs:
            drawn = us.any_inputs(pick)
            fresh = timing.Inputs(pick.getrandbits(48), drawn.distribution)
            return drawn if who is participant else fresh

        timing.warm(fast, inputs, request["warm"], self._alive)
        if request["alone"]:
            self._stop_until_told()
        if first < LONG_MILLISECONDS:
            first = timing.once(participant, us.any_inputs(pick))
        rounds = Plan().affordable(first / 1e3, request["budget"])
        kinds = len(request["kinds"])
        steps = turns(kinds_of_rounds(rounds, kinds, pick), per_kind(kinds), pick)
        reference = self.task.reference_baseline
        timing.interleave(us, steps, baselines, reference, pick, self._alive)
        reply = {
            "samples": {p.name: p.samples for p in (participant, *baselines)},
            "alone": alone, "absent": absent,
            "damage": us.candidate.damage(), "trouble": {"candidate": us.trouble},
            "prepare_milliseconds": us.candidate.prepare_milliseconds,
        }  # fmt: skip
        us.candidate.free()
        torch.cuda.empty_cache()
        return reply

    def _watched(
        self, who: str, request: Reply, side: Reply, pick: random.Random
    ) -> timing.VerifiedTiming:
        """A candidate whose timed outputs are all compared."""

        def hand_over(inputs: timing.Inputs, candidate: Candidate) -> None:
            event = {"event": "verify", "who": who, **asdict(inputs)}
            self._hand_over(candidate.current, 0, event, "outputs")
            self.say(event)
            self._acknowledged()

        candidate = self._candidate(request, side, who)
        return timing.VerifiedTiming(who, candidate, request["kinds"], hand_over, pick)

    def _alone(
        self, us: timing.VerifiedTiming, alone: dict[str, float], pick: random.Random
    ) -> tuple[list[timing.Participant], dict[str, str]]:
        """The baselines that run here, and why the others do not.

        Fills in how long they take alone, in milliseconds, where that is not known.
        """
        self._baselines = self._baselines or dict(self.task.baselines())
        buffers, configuration = us.candidate.current, us.candidate.configuration
        own_inputs = {n: torch.empty_like(t) for n, t in buffers.inputs.items()}
        waste = torch.empty_like(bits(next(iter(buffers.outputs.values()))))
        participants, absent = [], {}
        for name, function in self._baselines.items():
            baseline = timing.Baseline(self.task, configuration, function, own_inputs, waste)
            participant = timing.Participant(name, baseline.prepare, baseline.call)
            times = []
            try:
                for _ in range(1 if name in alone else ALONE):
                    inputs = timing.Inputs(pick.getrandbits(48), us.inputs[0].distribution)
                    times.append(timing.once(participant, inputs))
            except (RuntimeError, torch.cuda.OutOfMemoryError) as error:
                synchronize(f"trying the baseline {name}")
                absent[name] = str(error).strip().splitlines()[0][:300]
                continue
            alone.setdefault(name, sorted(times)[len(times) // 2])
            participants.append(participant)
            self._alive()
        return participants, absent

    def _answer_side(self, request: Reply) -> Reply:
        """One side of a pair on one configuration: calls the candidate as it is told, and waits.

        The other side has a process of its own, so neither can reach the other's memory. It works
        only while this one waits, and the other way round. See `side_by_side`.
        """
        pick = random.Random(request["seed"])  # noqa: S311 - not a secret
        watched = self._watched(request["who"], request, request, pick)
        participant = watched.participant
        first = timing.once(participant, watched.any_inputs(pick))
        turns = 0
        while (order := self._order(first))["do"] != "end":
            if order["do"] == "warm":
                timing.once(participant, watched.any_inputs(pick))
            else:
                timing.take_turn(watched, turns, Turn(**order["turn"]))
                turns += 1
        reply = {
            "samples": participant.samples,
            "damage": watched.candidate.damage(),
            "trouble": {participant.name: watched.trouble},
        }
        watched.candidate.free()
        torch.cuda.empty_cache()
        return reply

    def _order(self, first: float) -> Reply:
        """Says that this side is idle, with the milliseconds of its first call, and waits for what
        to do next."""
        self.say({"event": "idle", "first": first})
        order: Reply = json.loads(sys.stdin.readline())
        return order

    def _answer_warm(self, request: Reply) -> Reply:
        """Loads the baselines' libraries by calling each once, on inputs of its own."""
        configuration = Configuration.model_validate(request["configuration"])
        inputs = self.task.make_inputs(configuration, 1, "normal")
        self._baselines = dict(self.task.baselines())
        for name, function in self._baselines.items():
            with contextlib.suppress(RuntimeError):  # told where it is timed
                prepare_baseline(function, configuration, inputs)
                function(configuration, inputs)
            synchronize(f"trying the baseline {name}")
        return {}

    def _alive(self) -> None:
        """Send a message that shows the process is working, so that only silence counts as
        hanging."""
        self.say({"event": "alive"})

    def _stop_until_told(self) -> None:
        """Waits before timing begins: the worker may still be using the GPU."""
        self.say({"event": "ready"})
        self._acknowledged()

    def _acknowledged(self) -> None:
        answer = json.loads(sys.stdin.readline())
        assert answer == {"op": "go"}, answer

    def _flush(self) -> None:
        """Writes out what kernels printed so far: the worker reads it request by request."""
        ctypes.CDLL(None).fflush(None)


def _blame() -> Reply:
    """`driver` with the error's name if the context is lost, else `harness` for an internal
    error."""
    try:
        (code,) = driver.cuCtxSynchronize()
    except RuntimeError:  # there is no driver
        return {"kind": "harness"}
    if code in {driver.CUresult.CUDA_SUCCESS, driver.CUresult.CUDA_ERROR_NOT_INITIALIZED}:
        return {"kind": "harness"}
    return {"kind": "driver", "name": code.name, "stage": ""}


def main() -> int:
    """Serves on the descriptors named on the command line. 1 where a tool watched a failure."""
    replies, outputs, size = sys.argv[1:4]
    if replies == "-":
        # No signal at the parent's death: tools start the process from a thread of theirs that
        # may end. And an end in good order, at which they write their report.
        harness = Harness(os.open(os.devnull, os.O_WRONLY), -1, int(size))
        harness.serve()
        return int(harness.failed)
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    harness = Harness(int(replies), int(outputs), int(size))
    harness.say({"ready": True})
    harness.serve()
    # The context may be broken; leave without the library's tidying, which could wait for ever.
    sys.stderr.flush()
    os._exit(0)


if __name__ == "__main__":
    sys.exit(main())
