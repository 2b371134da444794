"""Whether a built tree is right: its tests, those of a hidden folder, and its outputs."""

from __future__ import annotations

import io
import json
import math
import re
import struct
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from avo_tui.domain.report import HIDDEN, ConfigurationCheck, EvaluationProgress
from avo_tui.domain.verdict import Feedback, Verdict
from avo_tui.evaluation.backends.base import Rejected
from avo_tui.evaluation.backends.command.measuring import inside
from avo_tui.evaluation.backends.command.project import SEED, Outputs, fresh_seed, seeded
from avo_tui.evaluation.backends.command.workshop import Ran, Tree, Workshop
from avo_tui.evaluation.ports import EvaluatorError

if TYPE_CHECKING:
    from numpy.typing import NDArray

HIDDEN_FOLDER = "hidden_tests"
_FAILED = (
    re.compile(r"^(?:FAILED|ERROR) (\S+::\S+)", re.MULTILINE),  # pytest
    re.compile(r"^\s*\d+ - (\S+) \((?:Failed|SEGFAULT|Timeout|Subprocess aborted)", re.MULTILINE),
    re.compile(r"^test (\S+) \.\.\. FAILED", re.MULTILINE),  # cargo
    re.compile(r"^\[  FAILED  \] (\w+[./]\S+)", re.MULTILINE),  # googletest
    re.compile(r"^(?:FAIL|ERROR): (\S+)", re.MULTILINE),  # automake, unittest
    re.compile(r"^not ok \d+ -? ?(.{1,80})", re.MULTILINE),  # TAP
)
_MOST_FILES = 64 << 20
_SAFETENSORS = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2", "I64": "<i8", "I32": "<i4",
                "I16": "<i2", "I8": "i1", "U8": "u1", "BOOL": "?"}  # fmt: skip
"""Name of an element type in a .safetensors file → numpy's."""


def failed_tests(text: str) -> list[str]:
    for pattern in _FAILED:
        names = list(dict.fromkeys(pattern.findall(text)))
        if names:
            return names
    return []


class Checking:
    def __init__(self, workshop: Workshop) -> None:
        self._shop = workshop
        self._project = workshop.project
        self._expected: dict[str, bytes] = {}

    async def check(
        self, tree: Tree, quick: bool, progress: Callable[[EvaluationProgress], None]
    ) -> tuple[ConfigurationCheck, ...]:
        """All that is asked of a candidate. Raises Rejected with the first that fails."""
        checks: list[ConfigurationCheck] = []
        stages = [("tests", self._tests)]
        if self._project.test.hidden and not quick:
            stages.append((HIDDEN, self._hidden))
        if self._project.outputs is not None and not quick:
            stages.append(("outputs", self._outputs))
        for index, (name, stage) in enumerate(stages, start=1):
            try:
                checks.append(await stage(tree))
            except Rejected as rejection:
                failed = ConfigurationCheck(
                    name=name, ok=False,
                    detail="" if name == HIDDEN else rejection.feedback.summary,
                )  # fmt: skip
                rejection.checks = (*checks, failed)
                raise
            finally:
                progress(
                    EvaluationProgress(
                        stage="check", state="configuration", index=index, count=len(stages),
                        configuration=name, ok=len(checks) == index,
                        detail=checks[-1].detail if len(checks) == index else "",
                    )
                )  # fmt: skip
        return tuple(checks)

    async def tested(self, tree: Tree) -> tuple[Ran, str]:
        """(one run of the tests, what failed of them)."""
        test = self._project.test
        async with self._shop.laid_out(tree) as scratch:
            ran = await self._shop.run(scratch, "the test command", test.command, test.seconds)
            if tree.candidate:
                self._shop.require_unchanged(ran.tree, "the tests")
        return ran, ", ".join(failed_tests(ran.text)[:5])

    async def _tests(self, tree: Tree) -> ConfigurationCheck:
        """A candidate is blamed for what fails twice, and not on the base."""
        first, names = await self.tested(tree)
        if first.ok:
            return ConfigurationCheck(name="tests", ok=True, detail=_counted(first.text))
        again, names_again = await self.tested(tree)
        if again.ok:
            told = f"flaky: {names or 'the test command'} failed once, then passed"
            return ConfigurationCheck(name="tests", ok=True, detail=told)
        base, on_base = await self.tested(await self._shop.built_base())
        if not base.ok:
            raise EvaluatorError(
                f"the tests fail on the base, too ({on_base or first.words}), so nothing can be"
                " said of a candidate; mend them, or leave them out of the test command"
            )
        raise Rejected(
            first.verdict or Verdict.WRONG_RESULT,
            Feedback(
                summary=f"tests fail: {names_again}" if names_again else first.words,
                detail="They failed twice, and pass on the base.",
                log=again.text[-12_000:],
            ),
        )

    async def _hidden(self, tree: Tree) -> ConfigurationCheck:
        """What fails here is not told, so that nobody can learn the tests from it."""
        test = self._project.test
        source = self._hidden_source()
        files = {
            f"tree/{HIDDEN_FOLDER}/{path.relative_to(source).as_posix()}": path.read_bytes()
            for path in sorted(source.rglob("*"))
            if path.is_file() and "__pycache__" not in path.parts
        }
        command = test.hidden_command or f"python3 -m pytest -q {HIDDEN_FOLDER}"

        async def passes(of: Tree) -> bool:
            async with self._shop.laid_out(of, files) as scratch:
                return (await self._shop.run(scratch, "the tests", command, test.seconds)).ok

        if await passes(tree) or await passes(tree):
            return ConfigurationCheck(name=HIDDEN, ok=True)
        if not await passes(await self._shop.built_base()):
            raise EvaluatorError("the hidden tests fail on the base, too: mend them first")
        rejection = Rejected(Verdict.WRONG_RESULT, Feedback(summary="a hidden test fails"))
        rejection.silent = True
        raise rejection

    def _hidden_source(self) -> Path:
        folder = self._shop.folder / Path(self._project.test.hidden).expanduser()
        if not folder.is_dir():
            raise EvaluatorError(f"the folder of hidden tests, {folder}, is not there")
        return folder

    async def _outputs(self, tree: Tree) -> ConfigurationCheck:
        outputs = self._project.outputs
        assert outputs is not None
        fresh = SEED in outputs.command
        seed = fresh_seed() if fresh else 1
        if fresh or not self._expected:
            self._expected = await self._produced(await self._shop.built_base(), outputs, seed)
        produced, told = await self._produced(tree, outputs, seed), f" (seed {seed})" * fresh
        for name, expected in self._expected.items():
            got = produced[name]
            if got == expected:
                continue
            why = "differ"
            if outputs.compare == "allclose":
                why = apart(name, expected, got, outputs.rtol, outputs.atol)
            if why:
                raise Rejected(
                    Verdict.WRONG_RESULT,
                    Feedback(summary=f"outputs are not those of the base{told}: {name}: {why}"),
                )
        return ConfigurationCheck(
            name="outputs", ok=True, detail=f"{len(produced)} as on the base{told}"
        )

    async def _produced(self, tree: Tree, outputs: Outputs, seed: int) -> dict[str, bytes]:
        command = seeded(outputs.command, seed)
        async with self._shop.laid_out(tree) as scratch:
            ran = await self._shop.run(scratch, "the outputs command", command, outputs.seconds,
                                       keep=_MOST_FILES)  # fmt: skip
            if not ran.ok:
                raise tree.failed(ran.verdict or Verdict.WRONG_RESULT, ran.words, ran.text)
            if not outputs.files:
                return {"what it prints": ran.outcome.stdout.encode()}
            produced = {}
            for name in outputs.files:
                path = inside(ran.tree, name)
                if path is None or not path.is_file() or path.stat().st_size > _MOST_FILES:
                    words = f"the outputs command leaves no file {name} of up to 64 MiB"
                    raise tree.failed(Verdict.WRONG_RESULT, words)
                produced[name] = path.read_bytes()
            return produced


def _counted(text: str) -> str:
    """How many tests passed, where the output says it in a known way."""
    for pattern in (r"(\d+) passed", r"out of (\d+)", r"Ran (\d+) tests?"):
        if counts := re.findall(pattern, text):
            return f"{counts[-1]} tests"
    return ""


def apart(name: str, expected: bytes, got: bytes, rtol: float, atol: float) -> str:
    """Why two files of numbers are not close to each other; empty where they are."""
    import numpy as np

    try:
        ours, theirs = _numbers(name, got), _numbers(name, expected)
        if ours.keys() != theirs.keys():
            return "other names"
        for key, wanted in theirs.items():
            mine = ours[key]
            if mine.shape != wanted.shape or mine.dtype != wanted.dtype:
                shapes = list(mine.shape), list(wanted.shape)
                return f"{key} is {shapes[0]} of {mine.dtype}, not {shapes[1]} of {wanted.dtype}"
            if not np.allclose(mine, wanted, rtol=rtol, atol=atol, equal_nan=True):
                off = np.abs(mine.astype(float) - wanted.astype(float))
                return f"{key} is off by up to {np.max(off, where=~np.isnan(off), initial=0):.3g}"
    except (ValueError, LookupError, TypeError, EOFError, MemoryError, OSError, struct.error,
            zipfile.BadZipFile) as error:  # fmt: skip
        return f"no numbers can be read from it: {error}"
    return ""


def _numbers(name: str, data: bytes) -> Mapping[str, NDArray[Any]]:
    """Every array in a file, by its name. Raises whatever the file's reader does."""
    import numpy as np

    if name.endswith((".npy", ".npz")):
        read = np.load(io.BytesIO(data), allow_pickle=False)
        return {name: read} if isinstance(read, np.ndarray) else dict(read)
    if name.endswith(".safetensors"):
        (length,) = struct.unpack_from("<Q", data)
        header: dict[str, Any] = json.loads(data[8 : 8 + length])
        arrays = {}
        for key, facts in header.items():
            if key == "__metadata__":
                continue
            kind, start = facts["dtype"], facts["data_offsets"][0]
            count = math.prod(facts["shape"])
            flat = np.frombuffer(data, _SAFETENSORS.get(kind, kind), count, 8 + length + start)
            if kind == "BF16":  # the upper half of a float32
                flat = (flat.astype("u4") << 16).view("f4")
            arrays[key] = flat.reshape(facts["shape"])
        return arrays
    return {name: np.array(data.decode().replace(",", " ").replace(";", " ").split(), float)}
