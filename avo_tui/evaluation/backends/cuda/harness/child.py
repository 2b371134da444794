"""The loop of the disposable GPU process: requests in as JSON lines, replies out as JSON lines.

`python -m avo_tui.evaluation.backends.cuda.harness.child REPLY_FD OUTPUT_FD OUTPUT_BYTES`
Outputs travel through the shared memory of OUTPUT_FD. With `-` for both a tool watches the process
instead of a worker: what fails is then printed. After an error of the driver the process says so
and ends: the context is lost.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import json
import mmap
import os
import random
import signal
import sys
import time
import traceback
from pathlib import Path
from typing import Any

import torch
from cuda.bindings import driver

from avo_tui.domain.task import Configuration
from avo_tui.evaluation.backends.cuda.harness import timing
from avo_tui.evaluation.backends.cuda.harness.errors import DriverError
from avo_tui.evaluation.backends.cuda.harness.launch import Module, Preparer, Runner, synchronize
from avo_tui.evaluation.backends.cuda.harness.memory import Buffers
from avo_tui.evaluation.backends.cuda.planned import LaunchPlan
from avo_tui.evaluation.backends.cuda.task import CudaTask
from avo_tui.evaluation.measurement.dtypes import bits
from avo_tui.evaluation.task import prepare_baseline
from avo_tui.evaluation.tasks import load_task

Reply = dict[str, Any]
PR_SET_PDEATHSIG = 1
ALONE = 5
"""Calls of a baseline before the candidate first runs."""
SLOW_MILLISECONDS = 500.0
"""A candidate that takes longer is not used to warm the GPU."""

LONG_MILLISECONDS = 100.0
"""A candidate that takes longer is not timed once more, warm, to plan its rounds by."""


class Harness:
    """What the process holds between requests."""

    def __init__(self, reply_fd: int, output_fd: int, output_bytes: int) -> None:
        self._listened = output_fd >= 0
        self._reply = os.fdopen(reply_fd, "w", encoding="utf-8")
        self.failed = False
        shared = mmap.mmap(output_fd, output_bytes)
        self._shared = torch.frombuffer(shared, dtype=torch.uint8)
        self._task: CudaTask | None = None
        self._units: dict[str, list[tuple[bytes, dict[str, str]]]] = {}
        self._baselines: dict[str, Any] = {}

    @property
    def task(self) -> CudaTask:
        """The task in hand."""
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
                reply = getattr(self, f"do_{request['op']}")(request)
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
            except Exception as error:  # ours, or torch on a context that the candidate broke
                text = "".join(traceback.format_exception(error))[-4000:]
                self.say({"ok": False, "doing": str(error)[:500], "trace": text, **_blame()})
                return

    def do_open(self, request: Reply) -> Reply:
        """Loads the task and makes the context."""
        task = load_task(Path(request["task"]))
        assert isinstance(task, CudaTask)
        self._task = task
        torch.backends.cuda.matmul.allow_tf32 = False
        torch.cuda.init()
        torch.zeros(1, device="cuda")
        return {"device": torch.cuda.get_device_name()}

    def do_load(self, request: Reply) -> Reply:
        """Takes the cubins of a candidate; they are loaded afresh for every run."""
        self._units[request["who"]] = [
            (Path(unit["path"]).read_bytes(), unit["symbols"]) for unit in request["units"]
        ]
        return {}

    def _module(self, request: Reply) -> Module:
        code, symbols = self._units[request["who"]][request["unit"]]
        return Module(code, symbols)

    def do_run(self, request: Reply) -> Reply:
        """One case of the check: run, look for damage, run again if asked, hand the output over."""
        task, plan = self.task, LaunchPlan.model_validate(request["plan"])
        configuration = Configuration.model_validate(request["configuration"])
        seed, distribution = request["seed"], request["distribution"]
        module = self._module(request)
        reply: Reply = {}
        bare = bool(request.get("bare"))
        with Buffers(task.tensors(configuration), plan.workspaces, seed, bare=bare) as buffers:
            runner = Runner(plan, module, buffers)
            preparer = Preparer(plan, self._module(request), buffers)
            preparer(lambda inputs: task.fill(configuration, seed, distribution, inputs))
            start = torch.cuda.Event(enable_timing=True)
            stop = torch.cuda.Event(enable_timing=True)
            synchronize("preparing")
            start.record()
            runner()
            stop.record()
            synchronize("running")
            reply["milliseconds"] = start.elapsed_time(stop)
            end = self._hand_over(buffers, 0, reply, "outputs")
            reply["damage"] = buffers.damage()
            reply["changed_inputs"] = self._changed(configuration, seed, distribution, buffers)
            if request["repeat"] and not reply["changed_inputs"]:
                reply["unsteady"] = self._repeat(runner, buffers)
            if request["perturb"] and not reply["changed_inputs"]:
                changed = task.perturb(configuration, buffers.inputs, seed)
                if changed is not None:
                    for name, tensor in changed.inputs.items():
                        buffers.inputs[name].copy_(tensor)
                    del changed
                    buffers.poison()
                    runner()
                    synchronize("running on changed inputs")
                    self._hand_over(buffers, end, reply, "perturbed")
                    reply["changed_inputs"] += buffers.changed_persistent()
                    reply["damage"] = reply["damage"] or buffers.damage()
            preparer.unload()
        module.unload()
        torch.cuda.empty_cache()
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

    def _changed(
        self, configuration: Configuration, seed: int, distribution: str, buffers: Buffers
    ) -> list[str]:
        """Inputs that are not what they were: compared with the same values made again.

        Persistent workspaces are inputs of the timed stages, and compared with a copy.
        """
        again = {name: torch.empty_like(t) for name, t in buffers.inputs.items()}
        self.task.fill(configuration, seed, distribution, again)
        changed = [
            name
            for name, tensor in buffers.inputs.items()
            if not torch.equal(bits(tensor), bits(again[name]))
        ]
        return changed + buffers.changed_persistent()

    def _repeat(self, runner: Runner, buffers: Buffers) -> str:
        """Runs again on the same inputs with other junk in the workspaces; says what differs."""
        first = {name: bits(tensor).clone() for name, tensor in buffers.outputs.items()}
        buffers.poison(0x3C)
        runner()
        synchronize("running again on the same inputs")
        for name, tensor in buffers.outputs.items():
            differs = bits(tensor) != first[name]
            count = int(differs.sum())
            if count:
                flat = int(differs.flatten().to(torch.uint8).argmax())
                place = []
                for size in reversed(tensor.shape):
                    place.append(flat % size)
                    flat //= size
                where = ", ".join(map(str, reversed(place)))
                return f"{count} of {tensor.numel()} elements of {name}, the first {name}[{where}]"
        return ""

    def do_ceiling(self, request: Reply) -> Reply:
        """What a large matrix product reaches."""
        return {"ceiling": timing.gemm_ceiling()}

    def do_bench(self, request: Reply) -> Reply:
        """Times a candidate beside the baselines on one configuration."""
        task = self.task
        configuration = Configuration.model_validate(request["configuration"])
        plan = LaunchPlan.model_validate(request["plan"])
        pick = random.Random(request["seed"])  # noqa: S311 - not a secret
        self._baselines = self._baselines or dict(task.baselines())
        candidate = timing.Candidate(
            task, configuration, plan, lambda: self._module(request), request["seed"]
        )
        us = timing.Participant("candidate", candidate.prepare, candidate.call)
        us.after = lambda seed: self._verify("candidate", seed, candidate)
        own_inputs = {n: torch.empty_like(t) for n, t in candidate.current.inputs.items()}
        waste = torch.empty_like(bits(next(iter(candidate.current.outputs.values()))))
        participants, absent = [us], {}
        alone: dict[str, float] = dict(request["alone"])
        if not alone:
            self._stop_until_told()
        for name, function in self._baselines.items():
            baseline = timing.Baseline(task, configuration, function, own_inputs, waste)
            participant = timing.Participant(name, baseline.prepare, baseline.call)
            try:
                runs = 1 if name in alone else ALONE
                times = [timing.once(participant, pick.getrandbits(48)) for _ in range(runs)]
            except (RuntimeError, torch.cuda.OutOfMemoryError) as error:
                synchronize(f"trying the baseline {name}")
                absent[name] = str(error).strip().splitlines()[0][:300]
                continue
            alone.setdefault(name, sorted(times)[runs // 2])
            participants.append(participant)
            self._alive()
        first = timing.once(us, pick.getrandbits(48))
        fast = participants if first < SLOW_MILLISECONDS else participants[1:]
        timing.warm(fast, request["warm"], 7, self._alive)
        if request["alone"]:
            self._stop_until_told()
        if first < LONG_MILLISECONDS:
            first = timing.once(us, pick.getrandbits(48))
        steps = timing.schedule(first, request["budget"], request["verify"], pick)
        timing.interleave(participants, us, task.reference_baseline, steps, pick, self._alive)
        damage = candidate.damage()
        samples = {p.name: p.samples for p in participants}
        prepare = candidate.prepare_milliseconds
        candidate.free()
        torch.cuda.empty_cache()
        return {
            "samples": samples, "alone": alone, "absent": absent, "damage": damage,
            "prepare_milliseconds": prepare,
        }  # fmt: skip

    def do_paired(self, request: Reply) -> Reply:
        """Times two candidates A B B A on one configuration."""
        configuration = Configuration.model_validate(request["configuration"])
        pick = random.Random(request["seed"])  # noqa: S311 - not a secret
        found: list[tuple[timing.Participant, timing.Candidate]] = []
        for who in ("a", "b"):
            side = request[who]
            unit = {"who": who, "unit": side["unit"]}
            plan = LaunchPlan.model_validate(side["plan"])
            candidate = timing.Candidate(
                self.task, configuration, plan, functools.partial(self._module, unit),
                request["seed"],
            )  # fmt: skip
            participant = timing.Participant(who, candidate.prepare, candidate.call)
            participant.after = lambda seed, w=who, c=candidate: self._verify(w, seed, c)
            found.append((participant, candidate))
        (a, candidate_a), (b, candidate_b) = found
        slow = max(timing.once(a, 1), timing.once(b, 2))
        self._alive()
        timing.warm([a, b], request["warm"] if slow < SLOW_MILLISECONDS else 0.0, 7, self._alive)
        self._stop_until_told()
        affordable = int(request["budget"] * 1e3 / (4 * slow))
        rounds = max(2, min(timing.ROUNDS // 2, affordable))
        verify = frozenset(pick.sample(range(rounds), min(request["verify"], rounds)))
        timing.alternate(a, b, rounds, verify, pick, self._alive)
        damage = {"a": candidate_a.damage(), "b": candidate_b.damage()}
        for _, candidate in found:
            candidate.free()
        torch.cuda.empty_cache()
        return {"samples": {"a": a.samples, "b": b.samples}, "damage": damage}

    def do_warm(self, request: Reply) -> Reply:
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
        """A sign of life, so that only silence counts as hanging."""
        self.say({"event": "alive"})

    def _stop_until_told(self) -> None:
        """Waits before timing begins: the worker may still be using the GPU."""
        self.say({"event": "ready"})
        self._acknowledged()

    def _acknowledged(self) -> None:
        answer = json.loads(sys.stdin.readline())
        assert answer == {"op": "go"}, answer

    def _verify(self, who: str, seed: int, candidate: timing.Candidate) -> None:
        """Hands a timed output over to be judged, and waits until it has been taken."""
        reply: Reply = {"event": "verify", "who": who, "seed": seed}
        self._hand_over(candidate.current, 0, reply, "outputs")
        self.say(reply)
        self._acknowledged()


def _blame() -> Reply:
    """`driver` and the error's name if the context is lost, else `harness`: our own error."""
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
