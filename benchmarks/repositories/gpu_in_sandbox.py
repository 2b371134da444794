"""Which part of the sandbox keeps a CUDA program from its GPU: the same two programs under each.

    python benchmarks/repositories/gpu_in_sandbox.py FOLDER

FOLDER has what `make` left in a copy of `benchmarks/repositories/cuda`: `test_sum`, which moves
400 kB, and `bench_sum`, which moves 64 MB. A row for each way to run them: exit code, seconds, and
the last line that they said. It needs a GPU, and a minute.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

from avo_tui.evaluation.backends.command.workshop import _WITHIN, GPUS
from avo_tui.evaluation.sandbox.policy import MIB, Isolation, Job, Limits, SandboxError
from avo_tui.evaluation.sandbox.run import Sandbox

PROGRAMS = ("test_sum", "bench_sum")


def row(how: str, program: str, code: object, seconds: float, said: str) -> None:
    last = (said.strip().splitlines() or [""])[-1]
    print(f"{how:52} {program:10} {code!s:12} {seconds:6.1f} s  {last[-100:]}", flush=True)


def outside(folder: Path) -> None:
    """The programs as they are, and as another user: the sandbox lends one."""
    for how, user in (("outside", None), ("outside, as user 61184", 61184)):
        if user is not None and os.geteuid() != 0:
            continue
        for program in PROGRAMS:
            began = time.monotonic()
            done = subprocess.run([folder / program], capture_output=True, text=True, env={},
                                  check=False, user=user, group=user)  # fmt: skip
            row(how, program, done.returncode, time.monotonic() - began, done.stdout + done.stderr)


def devices() -> tuple[str, ...]:
    return tuple(str(path) for path in sorted(Path("/dev").glob(GPUS)) if not path.is_dir())


async def inside(folder: Path) -> None:
    switches = itertools.product(Isolation, (True, False), (True, False), (None, 0))
    for isolation, landlock, seccomp, cpu in switches:
        sandbox = Sandbox(allow_weak=True, isolation=isolation)
        sandbox.landlock, sandbox.seccomp = landlock, seccomp
        how = f"{isolation}{' +landlock' * landlock}{' +seccomp' * seccomp}"
        how += f" on processor {cpu}" * (cpu is not None)
        for program in PROGRAMS:
            with sandbox.scratch() as scratch:
                shutil.copy(folder / program, scratch / program)
                job = Job(
                    command=("/bin/sh", "-c", f"./{program}"),
                    scratch=scratch,
                    limits=Limits(memory_bytes=16 << 30, address_bytes=None, processes=256,
                                  file_bytes=4 << 30, scratch_bytes=4 << 30, open_files=4096,
                                  output_bytes=64 * MIB),
                    devices=devices(),
                    allowed_calls=_WITHIN,
                    cpu=cpu,
                )  # fmt: skip
                try:
                    outcome = await sandbox.run(job)
                except SandboxError as error:
                    row(how, program, "no sandbox", 0.0, str(error))
                    continue
            code = outcome.exit_code if outcome.reason == "exited" else outcome.reason
            row(how, program, code, outcome.seconds, outcome.stdout + outcome.stderr)


def main() -> None:
    folder = Path(sys.argv[1])
    for path in sorted(Path("/dev").glob(GPUS)):
        print(f"{path} mode {path.stat().st_mode:o} of user {path.stat().st_uid}")
    for name in ("/proc/driver/nvidia/params", "/proc/devices", "/sys/bus/pci/devices"):
        print(f"{name}: {'there' if Path(name).exists() else 'not there'}")
    outside(folder)
    asyncio.run(inside(folder))


if __name__ == "__main__":
    main()
