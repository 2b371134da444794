"""The installed compiler, and the cache of its results."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import os
import platform
import shutil
import stat
import tempfile
from dataclasses import dataclass
from pathlib import Path

from avo_tui.evaluation.paths import cache_folder
from avo_tui.evaluation.ports import EvaluatorError

_ENTRIES_KEPT = 4000
_MAX_FILE = 64 << 20


@dataclass(frozen=True)
class Toolchain:
    """A compiler and the processor it compiles for (`-march=native`)."""

    compiler: str
    version: str
    cpu: str
    """Model and features of the processor."""

    def key(self, *parts: str) -> str:
        """The cache key of something compiled from `parts`."""
        body = json.dumps([self.compiler, self.version, self.cpu, *parts])
        return hashlib.sha256(body.encode()).hexdigest()


def _cpuinfo(*names: str) -> str:
    """The first line of /proc/cpuinfo that begins with one of the names; empty without any."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return ""
    return next((x.partition(":")[2].strip() for x in lines if x.startswith(names)), "")


def cpu_model() -> str:
    """Name of the processor, such as `AMD EPYC 7B13`."""
    return _cpuinfo("model name", "Processor") or platform.machine()


def cpu_features() -> frozenset[str]:
    """Names of instruction set extensions, as /proc/cpuinfo has them."""
    return frozenset(_cpuinfo("flags", "Features").split())


def cpu_of() -> str:
    """Model and features of the processor, as toolchains tell them apart."""
    return f"{cpu_model()} {' '.join(sorted(cpu_features()))}"


async def output_of(*command: str, trouble: str) -> str:
    """What a compiler says of itself. Raises EvaluatorError with `trouble` where it fails."""
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    text, _ = await process.communicate()
    if process.returncode != 0:
        raise EvaluatorError(f"{' '.join(command)} fails; {trouble}")
    return text.decode(errors="replace").strip()


async def find_toolchain(
    variable: str = "CXX", usual: tuple[str, str] = ("g++", "clang++"), language: str = "C++"
) -> Toolchain:
    """The compiler that `variable` names, else the first of the `usual` ones.

    Raises EvaluatorError that says what to install.
    """
    wanted = os.environ.get(variable)
    names = [wanted] if wanted else [*usual]
    path = next((p for p in map(shutil.which, names) if p), None)
    if path is None:
        if wanted:
            raise EvaluatorError(
                f"the compiler ${variable}={wanted} is not there; set {variable} to a {language} "
                "one"
            )
        raise EvaluatorError(
            f"there is no {language} compiler; install {usual[0]} (or {usual[1]}), or set "
            f"{variable}"
        )
    trouble = f"set {variable} to a working {language} compiler"
    version = (await output_of(path, "--version", trouble=trouble)).partition("\n")[0].strip()
    return Toolchain(path, version, cpu_of())


class CompileCache:
    """Cache of compilations: one folder per key, which appears complete or not at all."""

    def __init__(self, kind: str) -> None:
        self._root = cache_folder("cpp", kind)

    def get(self, key: str) -> Path | None:
        """The folder of a key, marked as used."""
        folder = self._root / key
        try:
            os.utime(folder)
        except OSError:
            return None
        return folder

    def put(self, key: str, files: dict[str, bytes]) -> Path:
        """Store files under a key; another process may have stored them first."""
        temporary = Path(tempfile.mkdtemp(prefix=".new-", dir=self._root))
        try:
            for name, data in files.items():
                (temporary / name).write_bytes(data)
                (temporary / name).chmod(0o755)
            temporary.chmod(0o755)
            try:
                temporary.rename(self._root / key)
            except OSError:
                if not (self._root / key).is_dir():
                    raise
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
        self._trim()
        return self._root / key

    def _trim(self) -> None:
        used: list[tuple[float, Path]] = []
        for folder in self._root.iterdir():
            with contextlib.suppress(FileNotFoundError):  # another process trims as well
                if not folder.name.startswith("."):
                    used.append((folder.stat().st_mtime, folder))
        if len(used) > _ENTRIES_KEPT:
            for _, folder in sorted(used)[: len(used) - _ENTRIES_KEPT * 3 // 4]:
                shutil.rmtree(folder, ignore_errors=True)


def read_untrusted(path: Path, limit: int = _MAX_FILE) -> bytes:
    """A regular file that a sandboxed command left; raises EvaluatorError for anything else."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise EvaluatorError(f"{path.name} cannot be read: {error.strerror}") from error
    facts = os.fstat(fd)
    if not stat.S_ISREG(facts.st_mode) or facts.st_size > limit:
        os.close(fd)
        raise EvaluatorError(f"{path.name} is not a file of at most {limit} bytes")
    with os.fdopen(fd, "rb") as file:
        return file.read()
