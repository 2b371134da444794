"""Where CUDA's headers and tools are on this machine: the Python packages first, then a toolkit."""

from __future__ import annotations

import functools
import importlib.metadata
import os
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

PRELUDE = Path(__file__).with_name("prelude")


EXTRA = "install the extra: pip install 'avo-tui[cuda]'"


class ToolkitError(RuntimeError):
    """CUDA's compiler or headers are missing; the text says what to install."""


def _roots() -> Iterator[Path]:
    for entry in sys.path:
        if entry:
            yield from sorted(Path(entry, "nvidia").glob("cu1[3-9]"), reverse=True)
    for name in ("CUDA_HOME", "CUDA_PATH"):
        if os.environ.get(name):
            yield Path(os.environ[name])
    yield Path("/usr/local/cuda")


@functools.cache
def missing_packages() -> tuple[str, ...]:
    """The packages of the extra that compiling needs and that are not installed."""
    missing = []
    for package in ("cuda-core", "nvidia-cuda-nvrtc"):
        try:
            importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            missing.append(package)
    return tuple(missing)


def require_compiler() -> None:
    """Raises ToolkitError, with what to install, where nothing can be compiled."""
    missing = missing_packages()
    if missing:
        raise ToolkitError(f"CUDA's compiler is not installed ({', '.join(missing)}); {EXTRA}")


@functools.cache
def include_folders() -> tuple[str, ...]:
    """Folders of CUDA's headers, in the order to search. Raises ToolkitError without any."""
    folders: list[str] = []
    for root in _roots():
        include = root / "include"
        for folder in (include, include / "cccl"):
            if folder.is_dir() and str(folder) not in folders:
                folders.append(str(folder))
        have = {h for h in ("cuda_bf16.h", "nv/target", "crt/mma.h") if _has(folders, h)}
        if len(have) == 3:
            break
    if not _has(folders, "cuda_bf16.h"):
        raise ToolkitError(f"CUDA's headers are not installed; {EXTRA}")
    cutlass = cutlass_folder()
    return (*folders, cutlass) if cutlass is not None else tuple(folders)


@functools.cache
def cutlass_folder() -> str | None:
    """The folder with `cute/` and `cutlass/`: of the package nvidia-cutlass, or a checkout.

    A checkout is named by CUTLASS_PATH or CUTLASS_DIR, its own folder or its `include`.
    """
    named = [os.environ[n] for n in ("CUTLASS_PATH", "CUTLASS_DIR") if os.environ.get(n)]
    folders = [Path(name, below) for name in named for below in ("include", "")]
    folders += [Path(entry, "cutlass_library", "source", "include") for entry in sys.path if entry]
    return next((str(f) for f in folders if (f / "cute" / "tensor.hpp").is_file()), None)


def _has(folders: list[str], header: str) -> bool:
    return any(Path(folder, header).is_file() for folder in folders)


@functools.cache
def nvdisasm() -> str | None:
    """The disassembler, where it is installed."""
    return tool("nvdisasm")


def tool(name: str) -> str | None:
    """A program of CUDA's toolkit: from the Python packages, the PATH or the toolkit's folder."""
    for root in _roots():
        path = root / "bin" / name
        if path.is_file() and os.access(path, os.X_OK):
            return str(path)
    return shutil.which(name)


@functools.cache
def compiler_version() -> str:
    """Such as `NVRTC 13.0.88`; asked of the package, so that nothing is loaded for it."""
    for package in ("nvidia-cuda-nvrtc", "nvidia-cuda-nvrtc-cu13"):
        try:
            return f"NVRTC {importlib.metadata.version(package)}"
        except importlib.metadata.PackageNotFoundError:
            continue
    return "NVRTC"


def architecture_number(architecture: str) -> int:
    """90 for `sm_90a`. Raises ValueError for anything that is not an architecture."""
    match = re.fullmatch(r"sm_(\d{2,3})[af]?", architecture)
    if match is None:
        raise ValueError(f"{architecture!r} is not an architecture such as sm_90a or sm_100a")
    return int(match[1])


def architecture(text: str) -> str:
    """`text` if it names an architecture. Raises ValueError that says what one looks like."""
    architecture_number(text)
    return text
