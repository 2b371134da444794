"""Guesses what a repository's `avo.toml` would say. Runs nothing of the repository."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from avo_tui.evaluation.backends.command.formats import FORMATS

_MOST_FILES, _MOST_BYTES = 4000, 200_000
_SKIPPED = frozenset(
    [
        "node_modules",
        "build",
        "dist",
        "target",
        "venv",
        ".venv",
        "third_party",
        "vendor",
        "__pycache__",
        "_deps",
    ]
)
_COMPILED_BACKENDS = (
    "mesonpy",
    "scikit_build_core",
    "maturin",
    "py_build_cmake",
    "setuptools_rust",
)
_EXTENSION = re.compile(
    r"ext_modules|\bExtension\(|cythonize|Pybind11Extension|CUDAExtension|CppExtension|cffi_modules"
)
_SOURCE_FOLDERS = ("src", "source", "lib", "include", "csrc", "crates", "pkg")
_C_FILES = (".c", ".cc", ".cpp", ".cxx", ".h", ".hpp", ".cu", ".cuh")


@dataclass
class Guess:
    """What was guessed, each with why; what is empty has to be asked for."""

    title: str = ""
    editable: list[str] = field(default_factory=list)
    build: str = ""
    test: str = ""
    benchmark: str = ""
    format: str = ""
    output: str = ""
    metrics: list[str] = field(default_factory=list)
    path: list[str] = field(default_factory=list)
    read: list[str] = field(default_factory=list)
    variables: dict[str, str] = field(default_factory=dict)
    network: bool = False
    device: str = "cpu"
    why: dict[str, str] = field(default_factory=dict)
    """Name of a field → where the guess comes from."""

    def set(self, name: str, value: str, why: str) -> None:
        """Guess a field, unless a better guess was made before."""
        if value and not getattr(self, name):
            setattr(self, name, value)
            self.why[name] = why

    @property
    def missing(self) -> list[str]:
        """What could not be guessed, as `avo.toml` calls it."""
        asked = {"editable": "project.editable", "test": "test.command",
                 "benchmark": "benchmark.command"}  # fmt: skip
        return [label for name, label in asked.items() if not getattr(self, name)]


@dataclass(frozen=True)
class Seen:
    """The files of a repository, and what is in them."""

    folder: Path
    names: tuple[str, ...]

    @classmethod
    def of(cls, folder: Path) -> Seen:
        """Look at a folder, without what builds leave."""
        names: list[str] = []
        for inside, folders, files in os.walk(folder):
            folders[:] = sorted(f for f in folders if f not in _SKIPPED and not f.startswith("."))
            below = Path(inside).relative_to(folder).as_posix()
            names += [name if below == "." else f"{below}/{name}" for name in sorted(files)]
            if len(names) > _MOST_FILES:
                break
        return cls(folder, tuple(names[:_MOST_FILES]))

    def has(self, name: str) -> bool:
        """Whether there is a file or folder of that name."""
        return (self.folder / name).exists()

    def text(self, name: str) -> str:
        """The beginning of a file; empty where there is none."""
        try:
            with (self.folder / name).open("rb") as file:
                return file.read(_MOST_BYTES).decode(errors="replace")
        except OSError:
            return ""

    def named(self, pattern: str) -> list[str]:
        """Files whose path the regular expression finds."""
        return [name for name in self.names if re.search(pattern, name)]

    def saying(self, pattern: str, names: Iterable[str]) -> list[str]:
        """Of these files, those whose text the regular expression finds."""
        return [name for name in names if re.search(pattern, self.text(name))]


def guess(folder: Path) -> Guess:
    """Everything that can be guessed about a repository."""
    seen, guessed = Seen.of(folder), Guess()
    heads = [seen.text(n) for n in ("README.md", "README.rst", "README")]
    told = [
        re.sub(r"<[^>]*>", "", line).strip("# =*-`") for text in heads for line in text.splitlines()
    ]
    lines = [line for line in told if line and not line.startswith(("[!", "!["))]
    guessed.title = (lines[0] if lines and len(lines[0]) <= 80 else folder.resolve().name)[:80]
    for recognise in (_cargo, _python, _cmake, _meson, _make, _npm):
        recognise(seen, guessed)
    if not guessed.editable:
        guessed.editable = [f"{name}/**" for name in _SOURCE_FOLDERS if (folder / name).is_dir()]
        guessed.why["editable"] = "the folders of sources"
    if not guessed.editable:
        kinds = {Path(n).suffix for n in seen.names if "/" not in n} & {*_C_FILES, ".py", ".rs"}
        guessed.editable = [f"*{kind}" for kind in sorted(kinds)]
        guessed.why["editable"] = "the sources of the top folder"
    _scripts(seen, guessed)
    if guessed.build and re.search(
        r"\.cu\b|CUDAExtension", " ".join(seen.names) + seen.text("setup.py")
    ):
        guessed.device = "cuda"
        guessed.why["device"] = "there are CUDA sources"
    return guessed


def _cmake(seen: Seen, guessed: Guess) -> None:
    if not seen.has("CMakeLists.txt") or guessed.build:
        return
    listings = seen.named(r"(^|/)CMakeLists\.txt$")
    text = "\n".join(seen.text(name) for name in listings)
    options = re.findall(r"\b(?:option|cmake_dependent_option)\s*\(\s*(\w+)", text, re.IGNORECASE)
    wanted = [o for o in dict.fromkeys(options) if re.search(r"BENCH|(BUILD|ENABLE)_?\w*TEST", o)]
    skipped = ("FUZZ", "INSTALL", "COVERAGE", "DOC", "DOWNLOAD", "GTEST", "LIBFUZZER")
    flags = "".join(f" -D{o}=ON" for o in wanted if not any(s in o for s in skipped))
    configure = f"cmake -S . -B build -DCMAKE_BUILD_TYPE=Release{flags}"
    guessed.set("build", f"{configure} && cmake --build build -j 4", "there is a CMakeLists.txt")
    if re.search(
        r"enable_testing|add_test|include\s*\(\s*CTest|catch_discover|gtest_discover", text
    ):
        guessed.set(
            "test", "ctest --test-dir build --output-on-failure", "its CMake files add tests"
        )
    programs = re.findall(r"add_executable\s*\(\s*(\w[\w.-]*)", text, re.IGNORECASE)
    for program in programs:
        if re.search(r"bench|perf", program, re.IGNORECASE):
            sub = next(
                (
                    n
                    for n in listings
                    if re.search(rf"add_executable\s*\(\s*{program}\b", seen.text(n))
                ),
                "",
            )
            folder = "/".join(filter(None, ["build", str(PurePosixPath(sub).parent)]))
            _google_or_wall(seen, guessed, f"./{folder}/{program}", f"CMake builds {program}")
            break


def _google_or_wall(seen: Seen, guessed: Guess, command: str, why: str) -> None:
    sources = seen.named(r"\.(c|cc|cpp|cxx|cu)$")
    if seen.saying(r"nvbench/nvbench", sources):
        _format(guessed, command, "nvbench", why)
    elif seen.saying(r"benchmark/benchmark\.h", sources):
        _format(guessed, command, "google-benchmark", f"{why}, and sources include benchmark.h")
    else:
        _format(guessed, command, "wall", why)


def _format(guessed: Guess, command: str, name: str, why: str) -> None:
    if guessed.benchmark:
        return
    known = FORMATS[name]
    guessed.set("benchmark", f"{command} {known.option}".strip(), why)
    guessed.format, guessed.output = name, known.output
    if name == "wall":
        guessed.metrics = ["wall"]
        guessed.why["format"] = "no known format was seen: the time of the whole command"


def _meson(seen: Seen, guessed: Guess) -> None:
    if not seen.has("meson.build") or guessed.build:
        return
    configure = "{ test -d build || meson setup build --buildtype=release; }"
    guessed.set("build", f"{configure} && ninja -C build", "there is a meson.build")
    text = "\n".join(seen.text(n) for n in seen.named(r"(^|/)meson\.build$"))
    if re.search(r"\btest\s*\(", text):
        guessed.set("test", "meson test -C build --print-errorlogs", "its meson.build adds tests")
    for sub in seen.named(r"(^|/)meson\.build$"):
        for program in re.findall(
            r"executable\s*\(\s*'([\w.-]*(?:bench|perf)[\w.-]*)'", seen.text(sub)
        ):
            folder = "/".join(filter(None, ["build", str(PurePosixPath(sub).parent)]))
            _google_or_wall(seen, guessed, f"./{folder}/{program}", f"meson builds {program}")


def _make(seen: Seen, guessed: Guess) -> None:
    name = next((n for n in ("GNUmakefile", "Makefile", "makefile") if seen.has(n)), "")
    if seen.has("build.ninja") and not guessed.build:
        guessed.set("build", "ninja", "there is a build.ninja")
    if seen.has("configure") and not name and not guessed.build:
        guessed.set(
            "build", "{ test -f Makefile || ./configure; } && make -j 4", "there is a configure"
        )
        guessed.set("test", "make check", "configure writes a Makefile with it, as a rule")
    if not name:
        return
    targets = set(re.findall(r"^([\w.-]+)\s*:(?!=)", seen.text(name), re.MULTILINE))
    if not guessed.build and not (seen.has("pyproject.toml") or seen.has("setup.py")):
        guessed.set("build", "make -j 4", f"there is a {name}")
    if guessed.build.startswith("make"):
        for target in ("check", "test", "tests"):
            if target in targets:
                guessed.set("test", f"make {target}", f"a target of the {name}")
        phony = set(re.findall(r"^\.PHONY\s*:(.*)$", seen.text(name), re.MULTILINE))
        commands = {word for line in phony for word in line.split()}
        for target in sorted(t for t in targets if re.search(r"bench|perf|speed", t)):
            runs = f"make -s {target}" if target in commands else f"./{target}"
            printing = seen.saying(r'"\{\\"', seen.named(r"bench|perf|speed"))
            _format(guessed, runs, "json" if printing else "wall", f"a target of the {name}")


def _cargo(seen: Seen, guessed: Guess) -> None:
    if not seen.has("Cargo.toml"):
        return
    text = seen.text("Cargo.toml")
    guessed.set("build", "cargo build --release --offline", "there is a Cargo.toml")
    guessed.set("test", "cargo test --release --offline", "cargo runs a package's tests")
    if re.search(r"^\s*criterion\b", text, re.MULTILINE):
        _format(guessed, "cargo bench --offline", "criterion", "Cargo.toml depends on criterion")
    guessed.editable = [f"{n}/**" for n in ("src", "crates") if seen.has(n)]
    guessed.why["editable"] = "cargo's folder of sources"
    cargo = shutil.which("cargo")
    if cargo is not None:
        home = Path(os.environ.get("RUSTUP_HOME") or Path.home() / ".rustup")
        guessed.path.append(str(Path(cargo).parent))
        if home.is_dir():
            guessed.read.append(str(home))
            guessed.variables["RUSTUP_HOME"] = str(home)
    if re.search(r"^\[(dev-|build-)?dependencies", text, re.MULTILINE) and not seen.has("vendor"):
        guessed.build = "cargo fetch && cargo test --release --no-run && cargo build --release"
        guessed.network = True
        guessed.why["network"] = "cargo fetches dependencies that are not vendored"
        guessed.build = (
            f"{{ test -d target || {guessed.build}; }} && cargo build --release --offline"
        )


def _python(seen: Seen, guessed: Guess) -> None:
    packaged = any(seen.has(n) for n in ("pyproject.toml", "setup.py", "setup.cfg"))
    others = any(seen.has(n) for n in ("CMakeLists.txt", "Makefile", "meson.build", "Cargo.toml"))
    if not packaged and (others or not seen.named(r"\.py$")):
        return
    if (
        seen.has("CMakeLists.txt")
        and not seen.has("setup.py")
        and not seen.saying(r"scikit_build_core|py_build_cmake", ["pyproject.toml"])
    ):
        return
    python = _interpreter(seen.folder)
    if python is not None:
        guessed.path.append(str(python.parent))
        guessed.why["path"] = (
            "the Python that has what the tests need, as far as this could be seen"
        )
    try:
        about = tomllib.loads(seen.text("pyproject.toml"))
    except tomllib.TOMLDecodeError:
        about = {}
    system = about.get("build-system", {})
    backend = str(system.get("build-backend", ""))
    roots = ["src"] if (seen.folder / "src").is_dir() and seen.named(r"^src/.*\.py$") else []
    packages = [n.split("/")[0] for n in seen.named(r"^[^/.]+/__init__\.py$")]
    skipped = {"tests", "test", "docs", "benchmarks", "bench", "examples", "tools", "scripts"}
    packages = [p for p in dict.fromkeys(packages) if p not in skipped]
    sources = ["src/**"] if roots else [f"{p}/**" for p in packages]
    sources = sources or [
        n for n in seen.named(r"^[^/]+\.py$") if n not in {"setup.py", "conftest.py"}
    ]
    folder = "{tree}/src" if roots else "{tree}"
    why = "the package's folder"
    if seen.saying(_EXTENSION.pattern, ["setup.py"]):
        guessed.set(
            "build", "python3 setup.py build_ext --inplace", "setup.py has extension modules"
        )
        more = [f"{n}/**" for n in ("csrc", "ext", "include", "src", "lib", "_ext")
                if (seen.folder / n).is_dir() and f"{n}/**" not in sources]  # fmt: skip
        sources, why = [*sources, *more], "the package's folder and its compiled sources"
    elif any(name in backend for name in _COMPILED_BACKENDS) or _has_extensions(about):
        command = "python3 -m pip install -q --no-build-isolation --no-deps --no-index"
        guessed.set(
            "build", f"{command} --upgrade --target site .", f"pyproject.toml builds with {backend}"
        )
        folder = "{tree}/site"
    guessed.editable = sources
    guessed.why["editable"] = why
    guessed.variables["PYTHONPATH"] = folder
    tests = [n for n in ("tests", "test", "testing") if (seen.folder / n).is_dir()]
    files = seen.named(r"(^|/)(test_[^/]*|[^/]*_test)\.py$")
    inner = sorted({str(PurePosixPath(n).parent) for n in files})
    where = tests[0] if tests else (inner[0] if inner else "")
    if where or files:
        told = f"there is {where or files[0]}"
        guessed.set("test", f"python3 -m pytest -q -p no:cacheprovider {where}".strip(), told)
    uses = seen.saying(r"def test_\w*\([^)]*\bbenchmark\b", seen.named(r"\.py$"))
    if uses:
        command = f"python3 -m pytest -q -p no:cacheprovider --benchmark-only {' '.join(uses[:5])}"
        _format(guessed, command, "pytest-benchmark", f"{uses[0]} has tests with `benchmark`")


def _has_extensions(about: dict[str, object]) -> bool:
    tool = about.get("tool")
    return (
        "ext-modules" in json.dumps(tool.get("setuptools", {})) if isinstance(tool, dict) else False
    )


def _interpreter(folder: Path) -> Path | None:
    """The Python of the repository, of the shell, or ours: the first that has pytest."""
    asked = [folder / ".venv/bin/python", folder / "venv/bin/python"]
    active = os.environ.get("VIRTUAL_ENV")
    asked += [Path(active) / "bin/python"] if active else []
    guessed = shutil.which("python3")
    asked += [Path(guessed)] if guessed else []
    asked.append(Path(sys.executable))
    real = [one for python in asked if python.exists() and (one := _asked(python)) is not None]
    chosen = next((python for python, ready in real if ready), real[0][0] if real else None)
    return None if chosen is None or str(chosen).startswith("/usr/bin/") else chosen


def _asked(python: Path) -> tuple[Path, bool] | None:
    """(the interpreter behind a name, whether it has pytest); None where it does not start."""
    ask = (
        "import sys, importlib.util as u; print(sys.executable, u.find_spec('pytest') is not None)"
    )
    try:
        done = subprocess.run(
            [str(python), "-c", ask], capture_output=True, check=False, cwd="/", timeout=60
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    path, _, ready = done.stdout.decode().strip().rpartition(" ")
    return (Path(path), ready == "True") if done.returncode == 0 and path else None


def _npm(seen: Seen, guessed: Guess) -> None:
    try:
        about = json.loads(seen.text("package.json") or "{}")
    except ValueError:
        return
    scripts = about.get("scripts") if isinstance(about, dict) else None
    if not isinstance(scripts, dict) or guessed.build:
        return
    fetch = (
        "{ test -d node_modules || npm ci --ignore-scripts; }"
        if seen.has("package-lock.json")
        else ""
    )
    if fetch and (about.get("dependencies") or about.get("devDependencies")):
        guessed.network = True
        guessed.why["network"] = "npm ci fetches what package-lock.json names"
    else:
        fetch = ""
    build = "npm run build" if "build" in scripts else ""
    guessed.set("build", " && ".join(filter(None, [fetch, build])), "package.json")
    if "test" in scripts:
        guessed.set("test", "npm test", "a script of package.json")
    for name in ("bench", "benchmark", "perf"):
        if name in scripts:
            _format(guessed, f"npm run -s {name}", "wall", f"the script {name} of package.json")


def _scripts(seen: Seen, guessed: Guess) -> None:
    """Benchmarks that are programs of their own."""
    if guessed.benchmark:
        return
    for name in seen.named(r"(^|/)(bench|benchmarks?|perf)[^/]*\.py$|(^|/)bench[^/]*/[^/]*\.py$"):
        if "pyperf" in (text := seen.text(name)):
            _format(guessed, f"python3 {name}", "pyperf", f"{name} uses pyperf")
        elif "json.dump" in text:
            guessed.set("benchmark", f"python3 {name}", f"{name} prints JSON, as it seems")
            guessed.format = "json"
        elif "__init__" not in name:
            _format(guessed, f"python3 {name}", "wall", f"there is {name}")
        if guessed.benchmark:
            return
    for name in seen.named(r"(^|/)bench[^/]*\.sh$"):
        _format(guessed, f"sh {name}", "wall", f"there is {name}")
        return
