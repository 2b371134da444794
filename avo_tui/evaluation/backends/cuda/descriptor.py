"""The descriptor of the CUDA backend."""

from __future__ import annotations

import importlib.metadata
import json
import subprocess
import sys
from collections.abc import Sequence

from avo_tui.evaluation.backends.base import Backend
from avo_tui.evaluation.backends.descriptor import BackendDescriptor, BackendOptions
from avo_tui.evaluation.finding import Finding
from avo_tui.evaluation.measurement.dtypes import DTYPES

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


def _make(options: BackendOptions) -> Backend:
    from avo_tui.evaluation.backends.cuda.backend import CudaBackend

    return CudaBackend(architecture=options.architecture)


def _examine() -> Sequence[Finding]:
    return [_gpu(), _nvrtc(), _cutlass()]


def _gpu() -> Finding:
    probe = [sys.executable, "-I", "-c", _GPU_PROBE]
    try:
        done = subprocess.run(
            probe, stdin=subprocess.DEVNULL, capture_output=True, timeout=_PROBE_SECONDS
        )
    except subprocess.TimeoutExpired:
        text = f"the driver does not answer within {_PROBE_SECONDS:.0f} s; look at nvidia-smi"
        return Finding(name="gpu", state="fail", text=text)
    if done.returncode != 0 or not done.stdout.strip():
        text = f"asking the driver ended with code {done.returncode}; look at nvidia-smi"
        return Finding(name="gpu", state="fail", text=text)
    facts = json.loads(done.stdout)
    if facts["driver"] is None:
        compiled = "compiled here, but not run" if not _missing() else "neither compiled nor run"
        text = f"no NVIDIA driver; CUDA candidates are {compiled}"
        return Finding(name="gpu", state="warn", text=text)
    version = f"{facts['driver'] // 1000}.{facts['driver'] % 1000 // 10}"
    if not facts["devices"]:
        text = f"the driver (CUDA {version}) sees no GPU (error {facts['code']})"
        return Finding(name="gpu", state="warn", text=text)
    text = f"{', '.join(facts['devices'])}; driver for CUDA {version}"
    return Finding(name="gpu", state="ok", text=text)


def _nvrtc() -> Finding:
    missing = _missing()
    if missing:
        text = f"{' and '.join(missing)} missing; for CUDA tasks: pip install 'avo-tui[cuda]'"
        return Finding(name="cuda compiler", state="warn", text=text)
    return Finding(name="cuda compiler", state="ok", text=f"NVRTC {_version('nvidia-cuda-nvrtc')}")


def _cutlass() -> Finding:
    from avo_tui.evaluation.backends.cuda.toolkit import cutlass_folder

    folder = cutlass_folder()
    if folder is None:
        text = "not here; for candidates that include cute/ or cutlass/: "
        return Finding(name="cutlass", state="ok", text=f"{text}pip install 'avo-tui[cutlass]'")
    return Finding(name="cutlass", state="ok", text=folder)


def _missing() -> tuple[str, ...]:
    from avo_tui.evaluation.backends.cuda.toolkit import missing_packages

    return missing_packages()


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


DESCRIPTOR = BackendDescriptor(
    language="cuda",
    label="CUDA C++ compiled with NVRTC, run on an NVIDIA GPU",
    make=_make,
    suffixes=(".cu", ".cuh", ".h", ".toml"),
    dtypes=tuple(dict.fromkeys(d.name for d in DTYPES.values())),
    cross_compiles=True,
    examine=_examine,
)
