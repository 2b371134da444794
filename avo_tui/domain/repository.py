"""Which files of a repository a candidate may change: a pure rule, the same for every part."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from pathlib import PurePosixPath

from avo_tui.domain.base import Value
from avo_tui.domain.score import PairedMeasurement, Score

MEASURED_BY = "measured by the project's own benchmark"
"""What every score of a repository is labelled with: its code runs in the process that reads its
clock."""

_STEERING = frozenset([
    "conftest.py", "pytest.ini", "tox.ini", "noxfile.py", "setup.py", "setup.cfg", "pyproject.toml",
    "CMakeLists.txt", "Makefile", "makefile", "GNUmakefile", "meson.build", "meson_options.txt",
    "meson.options", "build.ninja", "Cargo.toml", "Cargo.lock", "build.rs", "package.json",
    "package-lock.json", "configure", "configure.ac", "sitecustomize.py", "usercustomize.py",
    "avo.toml",
])  # fmt: skip
"""Files that steer build, test and benchmark."""
_STEERING_ENDS = (".cmake", ".mk", ".pth", ".am")
_APART = frozenset(
    ["test", "tests", "testing", "benches", "bench", "benchmark", "benchmarks", "hidden_tests"]
)
_TEST_FILE = re.compile(r"(test_.*|.*_test|bench(mark)?s?(_.*)?|.*_bench(mark)?)\.\w+")


class Proof(Value):
    """A candidate that was built from nothing, tested, and measured beside the base."""

    replicates: tuple[PairedMeasurement, ...]
    score: Score
    checks: tuple[str, ...]
    device: str
    commands: tuple[str, ...]
    """What a maintainer runs to see it again."""
    executed: str = ""


def editable(path: str, patterns: Sequence[str]) -> bool:
    """Whether a candidate may change, add or delete this file.

    A pattern is a path, a folder, or a glob with `*`, `**` and `?`. What a pattern covers only by a
    wildcard is not editable if it steers the build, or is a test or a benchmark; a pattern that
    names it does make it editable.
    """
    return any(_allows(path, pattern) for pattern in patterns)


def _allows(path: str, pattern: str) -> bool:
    if not _compiled(pattern).fullmatch(path):
        return False
    if pattern == path:
        return True
    literal = []
    for part in PurePosixPath(pattern).parts:
        if any(c in part for c in "*?["):
            break
        literal.append(part)
    *folders, name = PurePosixPath(path).parts[len(literal) :] or (PurePosixPath(path).name,)
    steers = name in _STEERING or name.endswith(_STEERING_ENDS) or _TEST_FILE.fullmatch(name)
    return not steers and not any(folder in _APART for folder in folders)


@lru_cache(maxsize=256)
def _compiled(pattern: str) -> re.Pattern[str]:
    text = pattern.removeprefix("./").rstrip("/")
    out, index = "", 0
    while index < len(text):
        if text.startswith("**/", index):
            out, index = out + "(?:.*/)?", index + 3
        elif text.startswith("**", index):
            out, index = out + ".*", index + 2
        elif text[index] in "*?":
            out, index = out + ("[^/]*" if text[index] == "*" else "[^/]"), index + 1
        else:
            out, index = out + re.escape(text[index]), index + 1
    return re.compile(out + "(?:/.*)?")
