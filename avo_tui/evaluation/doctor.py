"""What `avo doctor` says of the machine: can candidates be compiled, confined and measured here?"""

from __future__ import annotations

import asyncio
import importlib.metadata
import json
import os
import shutil
import sys
from pathlib import Path
from typing import Literal

from avo_tui.domain.base import Value
from avo_tui.evaluation.backends.cpp.toolchain import cpu_features, cpu_model, find_toolchain
from avo_tui.evaluation.paths import cache_folder
from avo_tui.evaluation.ports import EvaluatorError
from avo_tui.evaluation.sandbox.policy import Isolation, SandboxError, bubblewrap
from avo_tui.evaluation.sandbox.run import HOW_TO_CONFINE, Level, Sandbox
from avo_tui.evaluation.tasks import find_tasks

State = Literal["ok", "warn", "fail"]
_PROBE_SECONDS = 20.0

# In a process of its own: a broken driver may hang or crash whoever asks it.
_GPU_PROBE = """
import ctypes, json
try:
    driver = ctypes.CDLL("libcuda.so.1")
except OSError:
    print(json.dumps({"driver": None})); raise SystemExit
code = driver.cuInit(0)
version = ctypes.c_int()
driver.cuDriverGetVersion(ctypes.byref(version))
count = ctypes.c_int()
names = []
if code == 0 and driver.cuDeviceGetCount(ctypes.byref(count)) == 0:
    for i in range(count.value):
        name = ctypes.create_string_buffer(128)
        device, major, minor = ctypes.c_int(), ctypes.c_int(), ctypes.c_int()
        driver.cuDeviceGet(ctypes.byref(device), i)
        driver.cuDeviceGetName(name, 128, device)
        driver.cuDeviceGetAttribute(ctypes.byref(major), 75, device)
        driver.cuDeviceGetAttribute(ctypes.byref(minor), 76, device)
        names.append(f"{name.value.decode()} (sm_{major.value}{minor.value})")
print(json.dumps({"driver": version.value, "code": code, "devices": names}))
"""


class Finding(Value):
    """One thing that was looked at."""

    name: str
    state: State
    text: str
    """One sentence; where something is wrong, it says what to do."""


async def examine_machine(allow_weak: bool = False, kernels: Path | None = None) -> list[Finding]:
    """Looks at everything an evaluation needs, all of it even where something is missing."""
    findings = [_processor(), await _compiler(), await examine_sandbox(allow_weak)]
    findings += [_torch(), await _gpu(), _nvrtc(), _cache(), *_tasks(kernels)]
    return findings


def _processor() -> Finding:
    features = cpu_features()
    wide = next((f for f in ("avx512f", "avx2", "avx", "asimd", "sse2") if f in features), "scalar")
    cores = len(os.sched_getaffinity(0))
    load = os.getloadavg()[0]
    text = f"{cpu_model()}, {cores} cores to use, widest vectors: {wide}"
    if load > cores:
        busy = f"{text}; the machine is busy (load {load:.1f}), measurements will be noisier"
        return Finding(name="processor", state="warn", text=busy)
    return Finding(name="processor", state="ok", text=text)


async def _compiler() -> Finding:
    try:
        found = await find_toolchain()
    except EvaluatorError as error:
        return Finding(name="compiler", state="fail", text=str(error))
    tools = "" if shutil.which("objdump") else "; without objdump there are no instruction counts"
    state: State = "ok" if not tools else "warn"
    return Finding(name="compiler", state=state, text=f"{found.version} at {found.compiler}{tools}")


async def examine_sandbox(allow_weak: bool) -> Finding:
    """What confines candidates here; where something is missing, how it is to be had."""
    offered: list[Level] = []
    refused: list[str] = []
    for kind in Isolation:
        if kind is Isolation.BUBBLEWRAP and bubblewrap() is None:
            refused.append("bubblewrap is not installed")
            continue
        try:
            offered.append(await Sandbox(allow_weak=True, isolation=kind).level())
        except SandboxError as error:
            refused.append(str(error))
    if not offered:
        text = f"{'; '.join(refused)}; {HOW_TO_CONFINE}"
        return Finding(name="sandbox", state="fail", text=text)
    best = offered[0]
    others = ", ".join(level.describe() for level in offered[1:])
    text = f"{best.describe()}, ready in {best.start_ms:.0f} ms"
    text += f"; also: {others}" if others else ""
    if best.confined:
        return Finding(name="sandbox", state="ok", text=text)
    text += f"; {best.warning} ({'; '.join(refused)}); {HOW_TO_CONFINE}"
    if allow_weak:
        return Finding(name="sandbox", state="warn", text=f"{text}; allowed by your settings")
    text += "; until then candidates run with --allow-weak-sandbox only"
    return Finding(name="sandbox", state="fail", text=text)


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _torch() -> Finding:
    version = _version("torch")
    if version is None:
        text = "torch is missing; it computes references and baselines: pip install torch"
        return Finding(name="torch", state="fail", text=text)
    return Finding(name="torch", state="ok", text=f"torch {version}")


async def _gpu() -> Finding:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-I",
        "-c",
        _GPU_PROBE,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        out, _ = await asyncio.wait_for(process.communicate(), _PROBE_SECONDS)
    except TimeoutError:
        process.kill()
        await process.wait()
        text = f"the driver does not answer within {_PROBE_SECONDS:.0f} s; look at nvidia-smi"
        return Finding(name="gpu", state="fail", text=text)
    if process.returncode != 0 or not out.strip():
        text = f"asking the driver ended with code {process.returncode}; look at nvidia-smi"
        return Finding(name="gpu", state="fail", text=text)
    facts = json.loads(out)
    if facts["driver"] is None:
        text = "no NVIDIA driver; CUDA candidates are compiled here, but not run"
        return Finding(name="gpu", state="warn", text=text)
    version = f"{facts['driver'] // 1000}.{facts['driver'] % 1000 // 10}"
    if not facts["devices"]:
        text = f"the driver (CUDA {version}) sees no GPU (error {facts['code']})"
        return Finding(name="gpu", state="warn", text=text)
    text = f"{', '.join(facts['devices'])}; driver for CUDA {version}"
    return Finding(name="gpu", state="ok", text=text)


def _nvrtc() -> Finding:
    missing = [p for p in ("cuda-core", "nvidia-cuda-nvrtc") if _version(p) is None]
    if missing:
        text = f"{' and '.join(missing)} missing; for CUDA tasks: pip install 'avo-tui[cuda]'"
        return Finding(name="cuda compiler", state="warn", text=text)
    return Finding(name="cuda compiler", state="ok", text=f"NVRTC {_version('nvidia-cuda-nvrtc')}")


def _cache() -> Finding:
    try:
        folder = cache_folder()
    except EvaluatorError as error:
        return Finding(name="cache", state="fail", text=str(error))
    free = shutil.disk_usage(folder).free / 2**30
    state: State = "ok" if free > 1 else "warn"
    return Finding(name="cache", state=state, text=f"{folder}, {free:.1f} GiB free")


def _tasks(kernels: Path | None) -> list[Finding]:
    tasks = find_tasks(kernels)
    names = ", ".join(sorted(tasks.sound)) or "none"
    sound: State = "ok" if tasks.sound else "fail"
    found = [Finding(name="tasks", state=sound, text=names)]
    broken = tasks.broken.values()
    found += [Finding(name=f"task {b.name}", state="warn", text=b.error) for b in broken]
    return found
