"""What stub_gpu answers: attention by torch on a processor, times made up.

Nothing of it measures anything: it lets tests show what the worker makes of a process's answers.
The entry of the first stage says how to behave.
"""

import json
import mmap
import sys
from pathlib import Path
from typing import Any, TextIO

import torch

from avo_tui.domain.task import Configuration
from avo_tui.evaluation.measurement import dtypes
from avo_tui.evaluation.tasks import load_task

Asked = dict[str, Any]
Tensors = dict[str, torch.Tensor]

ROUNDS = 24


class Stub:
    def __init__(self, reply: TextIO, shared: int, size: int) -> None:
        """`shared` is the descriptor of the memory for outputs, `size` its bytes."""
        torch.set_num_threads(1)  # several of these run at once
        self.reply = reply
        self.shared = torch.frombuffer(mmap.mmap(shared, size), dtype=torch.uint8)
        self.drifted = False

    def say(self, **body: object) -> None:
        self.reply.write(json.dumps(body) + "\n")
        self.reply.flush()

    def wait(self) -> None:
        assert json.loads(sys.stdin.readline()) == {"op": "go"}

    def compute(self, configuration: Configuration, inputs: Tensors) -> torch.Tensor:
        q, k, v = (inputs[n].transpose(1, 2) for n in ("q", "k", "v"))
        out = torch.nn.functional.scaled_dot_product_attention(
            q, k, v, is_causal=bool(configuration.parameters["causal"]), enable_gqa=True
        )
        return out.transpose(1, 2).contiguous()

    def put(self, out: torch.Tensor, offset: int = 0) -> dict[str, int]:
        flat = out.view(torch.uint8).flatten()
        self.shared[offset : offset + flat.numel()].copy_(flat)
        return {"o": offset}

    def do_open(self, request: Asked) -> dict[str, Any]:
        self.task = load_task(Path(request["task"]))
        return {}

    def do_load(self, request: Asked) -> dict[str, Any]:
        assert Path(request["units"][0]["path"]).stat().st_size > 100
        return {}

    def do_scrub(self, request: Asked) -> dict[str, Any]:
        assert request["plan"]["stages"][0]["shared_memory"] > 200_000
        return {}

    def do_warm(self, request: Asked) -> dict[str, Any]:
        return {}

    def do_ceiling(self, request: Asked) -> dict[str, Any]:
        return {"ceiling": 7.5e14}

    def do_run(self, request: Asked) -> dict[str, Any] | None:
        mode = request["plan"]["stages"][0]["entry"]
        configuration = Configuration.model_validate(request["configuration"])
        inputs = self.task.make_inputs(configuration, request["seed"], request["distribution"])
        out = self.compute(configuration, inputs)
        if mode == "unwritten" and configuration.name == "small":
            dtypes.poison(tail := torch.empty_like(out[:, 64:]))
            out[:, 64:] = tail
        if mode == "wrong_when_hidden" and configuration.name.startswith("hidden"):
            out *= 1.1
        if mode == "prints":
            print(f"seq {configuration.parameters['seq']}", flush=True)
        if mode in {"crash", "prints"}:
            self.say(
                ok=False,
                kind="driver",
                name="CUDA_ERROR_ILLEGAL_ADDRESS",
                doing=f"running on {configuration.parameters['seq']} rows",
                stage="",
            )
            return None
        answer: dict[str, Any] = {
            "milliseconds": 0.01,
            "damage": "tensor 'o': 2 bytes after it, the nearest 0 bytes away"
            if mode == "damage"
            else "",
            "changed_inputs": ["k"] if mode == "changes" else [],
            "outputs": self.put(out),
        }
        if request["repeat"]:
            answer["unsteady"] = "3 of 9 elements of o" if mode == "unsteady" else ""
        if request["perturb"]:
            change = self.task.perturb(configuration, inputs, request["seed"])
            assert change is not None
            after = self.compute(configuration, change.inputs)
            if mode == "leak":
                after.view(torch.int16)[0, 0, 0, 0] ^= 1
            answer["perturbed"] = self.put(after, out.numel() * 2)
        return answer

    def timed(
        self, mode: str, who: str, configuration: Configuration, seed: int, distribution: str
    ) -> None:
        inputs = self.task.make_inputs(configuration, seed, distribution)
        out = self.compute(configuration, inputs)
        if mode == "liar" or (mode == "liar_sometimes" and distribution != "normal"):
            dtypes.poison(out)
        outputs = self.put(out)
        self.say(event="verify", who=who, seed=seed, distribution=distribution, outputs=outputs)
        self.wait()

    def do_bench(self, request: Asked) -> dict[str, Any]:
        mode = request["plan"]["stages"][0]["entry"]
        configuration = Configuration.model_validate(request["configuration"])
        self.say(event="alive")
        self.say(event="ready")
        self.wait()
        for seed, distribution in enumerate(request["kinds"]):
            self.timed(mode, "candidate", configuration, 1000 + seed, distribution)
        drift = mode == "drifts" and not self.drifted
        self.drifted |= drift
        reference = [0.5 + (0.4 * (i % 2) if drift else 0.0) for i in range(ROUNDS)]
        ours = [1e-9 if mode == "too_fast" else 1.0] * ROUNDS
        if mode == "slows":
            reference = [2.0] * ROUNDS
        samples = {"candidate": ours, "cudnn": reference, "flash": [1.0] * 8}
        absent = {"fa3": "no such kernel"}
        if mode == "no_reference":
            del samples["cudnn"]
            absent["cudnn"] = "no plan for this shape"
        return {
            "samples": samples,
            "alone": {"cudnn": 0.5, "flash": 1.0},
            "absent": absent,
            "damage": "tensor 'q': 2 bytes before it" if mode == "damage_when_timed" else "",
            "trouble": {"candidate": self.trouble(mode)},
            "prepare_milliseconds": 0.25,
        }

    def trouble(self, mode: str) -> dict[str, str]:
        known = {"idles": {"differs": "o, timed call 7"}, "meddles": {"changed": "v"}}
        return known.get(mode, {})

    def do_side(self, request: Asked) -> dict[str, Any]:
        configuration = Configuration.model_validate(request["configuration"])
        who, mode = request["who"], request["plan"]["stages"][0]["entry"]
        samples: list[float] = []
        while (order := self.order())["do"] != "end":  # ends: with its input
            if order["do"] == "turn":
                samples.append({"a": 1.0, "b": 1.5}[who])
                if mode == "crash_in_turn":
                    self.say(ok=False, kind="driver", name="CUDA_ERROR_LAUNCH_FAILED", doing="")
                    sys.exit(0)
                if mode == "memory":
                    self.say(ok=False, kind="memory", doing="out of memory")
                    sys.exit(0)
                if order["turn"]["judged"]:
                    distribution = self.task.timed[order["turn"]["kind"]]
                    self.timed(mode, who, configuration, 7, distribution)
        damage = "tensor 'o': 2 bytes after it" if mode == "damage" else ""
        return {"samples": samples, "damage": damage, "trouble": {who: self.trouble(mode)}}

    def order(self) -> dict[str, Any]:
        self.say(event="idle", first=1.0)
        answer: dict[str, Any] = json.loads(sys.stdin.readline())
        return answer


def serve(stub: Stub) -> None:
    """Answer the requests on standard input until there are no more."""
    stub.say(ready=True)
    while line := sys.stdin.readline():  # ends: with its input
        request = json.loads(line)
        answer = getattr(stub, f"do_{request['op']}")(request)
        if answer is not None:  # else it has said what went wrong itself
            stub.say(ok=True, **answer)
