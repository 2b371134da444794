"""Proposes the `avo.toml` of a repository, and fills in what a first run shows.

Guessing runs nothing of the repository.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from avo_tui.domain.repository import editable
from avo_tui.evaluation.backends.command import base as bases
from avo_tui.evaluation.backends.command.formats import FORMATS
from avo_tui.evaluation.backends.command.project import FILE, Project, parse_project
from avo_tui.evaluation.backends.command.workshop import SYSTEM_PATH, search_path
from avo_tui.evaluation.ports import EvaluatorError
from avo_tui.worktree import JUNK

_MOST_FILES, _MOST_BYTES, _MOST_METRICS = 4000, 200_000, 12
_SKIPPED = JUNK | {"third_party", "vendor", "_deps"}
_EXTENSION = (
    r"ext_modules|\bExtension\(|cythonize|Pybind11Extension|CUDAExtension|CppExtension|cffi_modules"
)
_PACKAGED_SOURCES = r"mesonpy|scikit_build_core|maturin|py_build_cmake|setuptools_rust"
_SOURCE_FOLDERS = ("src", "source", "lib", "include", "csrc", "crates", "pkg")
_SOURCES = (".c", ".cc", ".cpp", ".cxx", ".h", ".hpp", ".cu", ".cuh", ".py", ".rs")
_NO_PACKAGES = {"tests", "test", "docs", "benchmarks", "bench", "examples", "tools", "scripts"}
_TOOLS = ("cmake", "ctest", "meson", "ninja", "make", "cargo", "npm", "node", "hyperfine")
"""Programs that are named where a command needs one that is not here."""
_NUMBER = r'(?:%[-+ #0-9.*lhz]*[diufgeFGE]|\{[^{}\n]*\}|"\s*(?:<<|,)[^"\n]*(?:<<|,)\s*")'
_UNIT = r"(\w+/s|[kMGT]FLOPS|ns|us|ms|s)(?![\w/])"
_PRINTED = re.compile(
    rf"(?:[\"',;]|\\[nt])\s*([A-Za-z][\w ()/.-]{{0,60}}?)\s*[:=]\s*{_NUMBER}\s*{_UNIT}"
)
"""What prints a number with a unit: `throughput: %.1f MB/s`, `{}`, `<< x <<` or `, x,`."""
_PLAINLY = re.compile(
    r"(?:[\"']|\\[nt])[ \t]*(?!(?i:in|at|after|for|of|to|by|with|about|every|took|done|wait\w*"
    r"|sleep\w*|timeout)\b)"
    rf"([A-Za-z][\w/.-]{{1,60}})(?=[ \t]|\"\s*,)\s*{_NUMBER}\s*{_UNIT}(?=\s*[\"'\\,;(])"
)
"""The same without a colon, `median %.2f ms`: one name that begins a line, and no sentence."""
_HINTS = {
    "project": '# goal = "What to make faster, and what must stay."',
    "test": '# hidden = "../tests_private"  # a folder that no candidate and no agent sees',
    "benchmark": "cores = 1  # that base and candidate are kept to; 0 for all",
}


class Guess:
    """Fields of an `avo.toml` with why they are so; what is missing has to be asked for."""

    def __init__(self) -> None:
        self.fields: dict[str, Any] = {"project.title": "", "project.base": ""}
        self.why: dict[str, str] = {}

    def set(self, name: str, value: object, why: str = "") -> None:
        """Guess a field, unless a better guess was made before."""
        if value and not self.fields.get(name):
            self.fields[name] = value
            if why:
                self.why[name] = why

    def get(self, name: str) -> Any:
        return self.fields.get(name, "")

    def measured_by(self, command: str, name: str, why: str) -> None:
        """Guess the benchmark, which reports in this format."""
        if self.get("benchmark.command"):
            return
        known = FORMATS[name]
        self.set("benchmark.command", f"{command} {known.option}".strip(), why)
        told = "no known format was seen: the time of the whole command" if name == "wall" else ""
        self.set("benchmark.format", name, told)
        self.set("benchmark.output", known.output)

    @property
    def missing(self) -> list[str]:
        asked = ("project.editable", "test.command", "benchmark.command")
        return [name for name in asked if not self.get(name)]

    def rendered(self) -> str:
        lines = [
            "# How avo-tui builds, tests and measures this repository. What has a comment beside",
            "# it is a guess: look at it. `avo adopt --check` tries all of it.",
        ]
        for section in ("project", "build", "test", "benchmark", "environment"):
            rows = {n.partition(".")[2]: n for n in self.fields if n.startswith(f"{section}.")}
            if not rows and section == "environment":
                continue
            lines += ["", f"[{section}]"]
            if section == "build" and "command" not in rows:
                lines.append('command = ""  # nothing to build was seen')
            for key, name in rows.items():
                comment = f"  # {self.why[name]}" if name in self.why else ""
                lines.append(f"{key} = {_toml(self.fields[name])}{comment}")
            if section in _HINTS and not (section == "project" and "goal" in rows):
                lines.append(_HINTS[section])
        return "\n".join([*lines, ""])


def _toml(value: object) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {_toml(v)}" for key, v in value.items()) + " }"
    if isinstance(value, list):
        return f"[{', '.join(map(_toml, value))}]"
    return json.dumps(value, ensure_ascii=False)


def propose(folder: Path, given: Mapping[str, str], commit: str = "") -> tuple[str, Guess]:
    """(the text of an `avo.toml`, what was guessed); `given` are fields that a person said, such
    as `test.command`. Raises EvaluatorError."""
    guessed = Guess()
    for name, value in given.items():
        many = [part.strip() for part in value.split(",") if part.strip()]
        guessed.set(name, many if name == "project.editable" else value, "as you said")
    if (command := guessed.get("benchmark.command")) and "benchmark.format" not in given:
        guessed.set("benchmark.format", _format_of(command), "by the command")
    seen = Seen(folder)
    _guess(seen, guessed)
    name = guessed.get("benchmark.format")
    if name and name not in FORMATS:
        raise EvaluatorError(f"there is no format {name!r}; there is {', '.join(FORMATS)}")
    guessed.fields.setdefault("test.command", "")
    guessed.fields.setdefault("benchmark.command", "")
    guessed.set("benchmark.format", "wall")
    metrics: list[Any] = []
    if guessed.get("benchmark.format") == "wall":
        metrics = ["wall"]
        if "benchmark.format" not in given and (printed := _printed(seen, guessed)):
            metrics = printed
            guessed.fields["benchmark.format"] = "regex"
            guessed.why["benchmark.format"] = "its source prints these numbers"
    name = guessed.get("benchmark.format")
    if (output := FORMATS[name].output) and output in guessed.get("benchmark.command"):
        guessed.set("benchmark.output", output)
    if name in {"json", "regex"} and not metrics:
        guessed.set("benchmark.unit", "ms", "a guess: say the unit")
        guessed.set("benchmark.better", "lower")
    guessed.fields["benchmark.metrics"] = metrics
    base = (commit or bases.is_commit(folder))[:12]
    told = (
        "the commit that is checked out" if base else "there is no git here: a copy of the folder"
    )
    guessed.set("project.base", base or "copy", told)
    return guessed.rendered(), guessed


def _printed(seen: Seen, guessed: Guess) -> list[dict[str, str]]:
    """Metrics that the sources of the benchmark print, each with a pattern that finds it.

    Its sources are those whose name, or whose folder's, is in its command.
    """
    words = set(re.findall(r"[\w-]+", guessed.get("benchmark.command")))
    metrics: dict[str, dict[str, str]] = {}
    for name in seen.named(r"\.(c|cc|cpp|cxx|cu|py|rs|js|go|sh)$"):
        if words.isdisjoint(PurePosixPath(name).with_suffix("").parts):
            continue
        text = seen.text(name)
        prints = [(*both, r"\b", r"\s*[:=]\s*") for both in _PRINTED.findall(text)]
        prints += [(*both, r"^\s*", r"\s+") for both in _PLAINLY.findall(text)]
        for label, unit, before, between in prints:
            told = re.escape(label).replace("\\ ", " ")
            pattern = rf"{before}{told}{between}([0-9.,e+-]+)\s*{unit}(?![\w/])"
            better = "higher" if unit.endswith(("/s", "S")) else "lower"
            metric = {"name": label, "pattern": pattern, "unit": unit, "better": better}
            metrics.setdefault(label, metric)
    return list(metrics.values())[:_MOST_METRICS]


def _format_of(command: str) -> str:
    """The format that an option or a program in a command tells."""
    for name, known in FORMATS.items():
        first = re.split("[= ]", known.option)[0]
        if (len(first) > 2 and first in command) or name in command:
            return name
    return "wall"


class Seen:
    """The files of a repository, without what builds leave, and what is in them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.names: list[str] = []
        for inside, folders, files in os.walk(folder):
            folders[:] = sorted(f for f in folders if f not in _SKIPPED and not f.startswith("."))
            below = Path(inside).relative_to(folder)
            self.names += [(below / name).as_posix() for name in sorted(files)]
            if len(self.names) > _MOST_FILES:
                break

    def has(self, *names: str) -> bool:
        return any((self.folder / name).exists() for name in names)

    def text(self, name: str) -> str:
        try:
            with (self.folder / name).open("rb") as file:
                return file.read(_MOST_BYTES).decode(errors="replace")
        except OSError:
            return ""

    def named(self, pattern: str) -> list[str]:
        return [name for name in self.names if re.search(pattern, name)]

    def saying(self, pattern: str, names: Iterable[str]) -> list[str]:
        return [name for name in names if re.search(pattern, self.text(name))]

    def below(self, folders: Iterable[str]) -> list[str]:
        """Those of these folders that are there, as patterns."""
        return [f"{name}/**" for name in folders if (self.folder / name).is_dir()]


def _guess(seen: Seen, guessed: Guess) -> None:
    heads = "\n".join(seen.text(n) for n in ("README.md", "README.rst", "README"))
    told = (re.sub(r"<[^>]*>", "", line).strip("# =*-`") for line in heads.splitlines())
    title = next((line for line in told if line and not line.startswith(("[!", "!["))), "")
    name = seen.folder.resolve().name[:80]
    guessed.set("project.title", title if len(title) <= 80 else name)
    guessed.set("project.title", name)
    for recognise in (_cargo, _python, _cmake, _meson, _make, _npm, _scripts):
        recognise(seen, guessed)
    guessed.set("project.editable", seen.below(_SOURCE_FOLDERS), "the folders of sources")
    kinds = {Path(n).suffix for n in seen.names if "/" not in n}.intersection(_SOURCES)
    top = [f"*{kind}" for kind in sorted(kinds)]
    guessed.set("project.editable", top, "the sources of the top folder")
    cuda = seen.named(r"\.cu$") or seen.saying("CUDAExtension", ["setup.py"])
    if guessed.get("build.command") and cuda:
        guessed.set("benchmark.device", "cuda", "there are CUDA sources")
        nvcc = shutil.which("nvcc", path=os.environ.get("PATH", "") + ":/usr/local/cuda/bin")
        if nvcc and not shutil.which("nvcc", path=SYSTEM_PATH):
            guessed.set("environment.path", [str(Path(nvcc).parent)], "where nvcc is")


def _cmake(seen: Seen, guessed: Guess) -> None:
    if not seen.has("CMakeLists.txt") or guessed.get("build.command"):
        return
    listings = seen.named(r"(^|/)CMakeLists\.txt$")
    text = "\n".join(map(seen.text, listings))
    options = re.findall(r"\b(?:option|cmake_dependent_option)\s*\(\s*(\w+)", text, re.IGNORECASE)
    wanted = [o for o in dict.fromkeys(options) if re.search(r"BENCH|(BUILD|ENABLE)_?\w*TEST", o)]
    skipped = re.compile("FUZZ|INSTALL|COVERAGE|DOC|DOWNLOAD|GTEST")
    flags = "".join(f" -D{o}=ON" for o in wanted if not skipped.search(o))
    configure = f"cmake -S . -B build -DCMAKE_BUILD_TYPE=Release{flags}"
    build = f"{configure} && cmake --build build -j 4"
    guessed.set("build.command", build, "there is a CMakeLists.txt")
    if re.search(r"enable_testing|add_test|include\s*\(\s*CTest|(catch|gtest)_discover", text):
        test = "ctest --test-dir build --output-on-failure"
        guessed.set("test.command", test, "its CMake files add tests")
    call = r"(?i)add_executable\s*\(\s*([\w.-]*(?:bench|perf)[\w.-]*)"
    _built_benchmark(seen, guessed, listings, call, "CMake")


def _meson(seen: Seen, guessed: Guess) -> None:
    if not seen.has("meson.build") or guessed.get("build.command"):
        return
    listings = seen.named(r"(^|/)meson\.build$")
    build = "{ test -d build || meson setup build --buildtype=release; } && ninja -C build"
    guessed.set("build.command", build, "there is a meson.build")
    if seen.saying(r"\btest\s*\(", listings):
        test = "meson test -C build --print-errorlogs"
        guessed.set("test.command", test, "its meson.build adds tests")
    call = r"executable\s*\(\s*'([\w.-]*(?:bench|perf)[\w.-]*)'"
    _built_benchmark(seen, guessed, listings, call, "meson")


def _built_benchmark(
    seen: Seen, guessed: Guess, listings: Iterable[str], call: str, tool: str
) -> None:
    """The first program that is called a benchmark where the build describes it."""
    sources = seen.named(r"\.(c|cc|cpp|cxx|cu)$")
    for listing in listings:
        for program in re.findall(call, seen.text(listing)):
            path, why = (
                PurePosixPath("build", listing).with_name(program),
                f"{tool} builds {program}",
            )
            if seen.saying(r"nvbench/nvbench", sources):
                guessed.measured_by(f"./{path}", "nvbench", why)
            elif seen.saying(r"benchmark/benchmark\.h", sources):
                why += ", and sources include benchmark.h"
                guessed.measured_by(f"./{path}", "google-benchmark", why)
            guessed.measured_by(f"./{path}", "wall", why)


def _make(seen: Seen, guessed: Guess) -> None:
    name = next((n for n in ("GNUmakefile", "Makefile", "makefile") if seen.has(n)), "")
    if guessed.get("build.command"):
        return
    if seen.has("build.ninja"):
        guessed.set("build.command", "ninja", "there is a build.ninja")
    elif seen.has("configure") and not name:
        build = "{ test -f Makefile || ./configure; } && make -j 4"
        guessed.set("build.command", build, "there is a configure")
        guessed.set("test.command", "make check", "configure writes a Makefile with it, as a rule")
    if not name or guessed.get("build.command") or seen.has("pyproject.toml", "setup.py"):
        return
    guessed.set("build.command", "make -j 4", f"there is a {name}")
    text, told = seen.text(name), f"a target of the {name}"
    targets = set(re.findall(r"^([\w.-]+)\s*:(?!=)", text, re.MULTILINE))
    for target in ("check", "test", "tests"):
        if target in targets:
            guessed.set("test.command", f"make {target}", told)
    phony = " ".join(re.findall(r"^\.PHONY\s*:(.*)$", text, re.MULTILINE)).split()
    for target in sorted(t for t in targets if re.search(r"bench|perf|speed", t)):
        runs = f"make -s {target}" if target in phony else f"./{target}"
        printing = seen.saying(r'"\{\\"', seen.named(r"bench|perf|speed"))
        guessed.measured_by(runs, "json" if printing else "wall", told)


def _cargo(seen: Seen, guessed: Guess) -> None:
    if not seen.has("Cargo.toml"):
        return
    build, text = "cargo build --release --offline", seen.text("Cargo.toml")
    if re.search(r"^\[.*dependencies", text, re.MULTILINE) and not seen.has("vendor"):
        fetch = "cargo fetch && cargo test --release --no-run"
        build = f"{{ test -d target || {{ {fetch}; }}; }} && {build}"
        told = "cargo fetches dependencies that are not vendored"
        guessed.set("build.network", True, told)
    benches = seen.named(r"(^|/)benches/.*\.rs$")
    if benches:  # or each run of the benchmark would compile it first
        build += " && cargo bench --offline --no-run"
    guessed.set("build.command", build, "there is a Cargo.toml")
    test = "cargo test --release --offline"
    guessed.set("test.command", test, "cargo runs a package's tests")
    criterion = re.search(r"^\s*criterion\b", text, re.MULTILINE)
    if benches and (criterion or re.search(r"^harness\s*=\s*false", text, re.MULTILINE)):
        printing = seen.saying(r'\{\{\\"', benches)
        name = "criterion" if criterion else "json" if printing else "wall"
        why = f"Cargo.toml {'depends on criterion' if criterion else 'has a benchmark of its own'}"
        guessed.measured_by("cargo bench --offline", name, why)
    guessed.set("project.editable", seen.below(["src", "crates"]), "cargo's folder of sources")
    if cargo := shutil.which("cargo"):
        guessed.set("environment.path", [str(Path(cargo).parent)], "where cargo is")
        home = Path(os.environ.get("RUSTUP_HOME") or Path.home() / ".rustup")
        if home.is_dir():
            guessed.set("environment.read", [str(home)])
            guessed.set("environment.variables", {"RUSTUP_HOME": str(home)})


def _python(seen: Seen, guessed: Guess) -> None:
    packaged = seen.has("pyproject.toml", "setup.py", "setup.cfg")
    others = seen.has("CMakeLists.txt", "Makefile", "meson.build", "Cargo.toml")
    ours = seen.has("setup.py") or seen.saying(_PACKAGED_SOURCES, ["pyproject.toml"])
    if not packaged and (others or not seen.named(r"\.py$")):
        return
    if seen.has("CMakeLists.txt") and not ours:
        return
    try:
        about = tomllib.loads(seen.text("pyproject.toml"))
    except tomllib.TOMLDecodeError:
        about = {}
    backend = str(about.get("build-system", {}).get("build-backend", ""))
    folder, why = "{tree}", "the package's folder"
    packages = [n.split("/")[0] for n in seen.named(r"^[^/.]+/__init__\.py$")]
    sources = [f"{p}/**" for p in dict.fromkeys(packages) if p not in _NO_PACKAGES]
    if seen.named(r"^src/.*\.py$"):
        folder, sources = "{tree}/src", ["src/**"]
    scripts = [n for n in seen.names if editable(n, ["*.py"])]
    sources, needed = sources or scripts, ["pytest"]
    if seen.saying(_EXTENSION, ["setup.py"]):
        build = "python3 setup.py build_ext --inplace"
        guessed.set("build.command", build, "setup.py has extension modules")
        more = seen.below(["csrc", "ext", "include", "src", "lib", "_ext"])
        sources = list(dict.fromkeys([*sources, *more]))
        why = "the package's folder and its compiled sources"
        needed += [m for m in ("torch", "numpy", "Cython", "pybind11", "cffi", "setuptools")
                   if seen.saying(rf"(?m)^\s*(import|from) {m}\b", ["setup.py"])]  # fmt: skip
    elif re.search(_PACKAGED_SOURCES, backend) or "ext-modules" in json.dumps(
        about.get("tool", {}), default=str
    ):
        install = "python3 -m pip install -q --no-build-isolation --no-deps --no-index"
        told = f"pyproject.toml builds with {backend}"
        guessed.set("build.command", f"{install} --upgrade --target site .", told)
        folder = "{tree}/site"
    guessed.set("project.editable", sources, why)
    guessed.set("environment.variables", {"PYTHONPATH": folder})
    python, lacking = _interpreter(seen.folder, needed)
    if python is not None and not str(python).startswith("/usr/bin/"):
        guessed.set("environment.path", [str(python.parent)], "the Python that has most of what"
                    " build and tests import, as far as this could be seen")  # fmt: skip
    if lacking:
        guessed.why["Python"] = f"{python or 'none here'} has no {', '.join(lacking)}; name the"
        guessed.why["Python"] += " folder of one that has as path under [environment]"
    tests = [n for n in ("tests", "test", "testing") if (seen.folder / n).is_dir()]
    files = seen.named(r"(^|/)(test_[^/]*|[^/]*_test)\.py$")
    if where := (tests or sorted({str(PurePosixPath(n).parent) for n in files}) or [""])[0]:
        test = f"python3 -m pytest -q -p no:cacheprovider {where}"
        guessed.set("test.command", test, f"there is {where if where != '.' else files[0]}")
    if uses := seen.saying(r"def test_\w*\([^)]*\bbenchmark\b", seen.named(r"\.py$")):
        command = f"python3 -m pytest -q -p no:cacheprovider --benchmark-only {' '.join(uses[:5])}"
        guessed.measured_by(command, "pytest-benchmark", f"{uses[0]} has tests with `benchmark`")


def _interpreter(folder: Path, needed: list[str]) -> tuple[Path | None, list[str]]:
    """(the Python of the repository, of the shell, or ours: the first that has most of these
    modules; those that it has not)."""
    code = "import sys, importlib.util as u; print(sys.executable);"
    code += f" print(*(m for m in {needed!r} if not u.find_spec(m)))"
    active = os.environ.get("VIRTUAL_ENV", "/nowhere")
    asked = [folder / ".venv/bin/python", folder / "venv/bin/python", Path(active, "bin/python"),
             Path(shutil.which("python3") or sys.executable), Path(sys.executable)]  # fmt: skip
    best: tuple[Path | None, list[str]] = (None, needed)
    for python in filter(Path.exists, asked):
        try:
            done = subprocess.run([python, "-c", code], capture_output=True, cwd="/", timeout=60,
                                  check=True)  # fmt: skip
        except (OSError, subprocess.SubprocessError):
            continue
        path, _, lacking = done.stdout.decode().partition("\n")
        if best[0] is None or len(lacking.split()) < len(best[1]):
            best = Path(path), lacking.split()
    return best


def _npm(seen: Seen, guessed: Guess) -> None:
    try:
        about = json.loads(seen.text("package.json") or "{}")
    except ValueError:
        return
    scripts = about.get("scripts") if isinstance(about, dict) else None
    if not isinstance(scripts, dict) or guessed.get("build.command"):
        return
    build = ["npm run build"] if "build" in scripts else []
    if seen.has("package-lock.json") and (about.keys() & {"dependencies", "devDependencies"}):
        build.insert(0, "{ test -d node_modules || npm ci --ignore-scripts; }")
        guessed.set("build.network", True, "npm ci fetches what package-lock.json names")
    guessed.set("build.command", " && ".join(build), "package.json")
    if "test" in scripts:
        guessed.set("test.command", "npm test", "a script of package.json")
    for name in ("bench", "benchmark", "perf"):
        if name in scripts:
            why = f"the script {name} of package.json"
            guessed.measured_by(f"npm run -s {name}", "wall", why)


def _scripts(seen: Seen, guessed: Guess) -> None:
    """Benchmarks that are programs of their own."""
    for name in seen.named(r"(^|/)(bench|benchmarks?|perf)[^/]*\.py$|(^|/)bench[^/]*/[^/]*\.py$"):
        text, command = seen.text(name), f"python3 {name}"
        if "pyperf" in text:
            guessed.measured_by(command, "pyperf", f"{name} uses pyperf")
        elif "json.dump" in text:
            guessed.measured_by(command, "json", f"{name} prints JSON, as it seems")
        elif "__init__" not in name:
            guessed.measured_by(command, "wall", f"there is {name}")
    for name in seen.named(r"(^|/)bench[^/]*\.sh$"):
        guessed.measured_by(f"sh {name}", "wall", f"there is {name}")


def missing_programs(project: Project) -> list[str]:
    """Known programs that the commands name, and that are not where the commands look."""
    commands = (project.build.command, project.test.command, project.benchmark.command)
    words = {word for command in commands for word in re.findall(r"[\w./-]+", command)}
    return [t for t in _TOOLS if t in words and not shutil.which(t, path=search_path(project))]


def pin(folder: Path) -> str:
    """Write what the base is now where an `avo.toml` says `copy` or `HEAD`; what was done."""
    path = folder / FILE
    text = path.read_text(encoding="utf-8")
    named = re.search(r'^base = "(copy|HEAD)"', text, re.MULTILINE)
    if named is None:
        return ""
    project = parse_project(text, str(path))
    base = bases.is_commit(folder)[:12] if named[1] == "HEAD" else ""
    if named[1] == "HEAD" and not base:
        raise EvaluatorError(f'{folder} has no commit; write base = "copy" into {path}')
    if not base:
        base = f"sha256:{bases.copied(folder, project).id[:16]}"
    path.write_text(text.replace(named[0], f'base = "{base}"'), encoding="utf-8")
    return f"its base is {base} from now on"


def fill_metrics(folder: Path, guessed: Mapping[str, float]) -> list[str]:
    """Write the metrics that a benchmark reports into an `avo.toml` that names none."""
    path = folder / FILE
    text = path.read_text(encoding="utf-8")
    names, rest = list(guessed)[:_MOST_METRICS], list(guessed)[_MOST_METRICS:]
    more = f"  # and {len(rest)} more: {', '.join(rest[:20])}" if rest else ""
    line = f"metrics = {_toml(names)}{more}"
    changed = re.sub(r"^metrics = \[\].*$", lambda _: line, text, flags=re.MULTILINE)
    if changed == text:
        raise EvaluatorError(f"{path} names no metrics; the benchmark reports {', '.join(names)}")
    path.write_text(changed, encoding="utf-8")
    return names
