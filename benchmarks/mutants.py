"""Put mistakes into a room one by one, and tell which of them the tests notice.

    make mutants ROOM=avo_tui/store/compaction.py [SEED=7] [N=15]

ROOM names files or folders, with spaces between. A seed draws the mistakes from all that can be
made there: a comparison turned, a statement dropped, arguments swapped, a number one too high.
Each is put into a copy of the tree (.mutants/), and the tests that run the function it lies in are
run there, the nearest and quickest first, up to --seconds of them. Which tests run what is found by
coverage, also in processes that tests start, and kept for each test file until that changes.

Mistakes that change nothing a user could see are named, with the reason, in mutants_equivalent.txt.
"""

import argparse
import ast
import hashlib
import json
import os
import random
import re
import shutil
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import coverage
import pytest

ROOT = Path(__file__).resolve().parents[1]
KEPT = ROOT / ".mutants"
EQUIVALENT = Path(__file__).with_name("mutants_equivalent.txt")
COMPARED = {
    ast.Lt: ("<", "<="), ast.LtE: ("<=", "<"), ast.Gt: (">", ">="), ast.GtE: (">=", ">"),
    ast.Eq: ("==", "!="), ast.NotEq: ("!=", "=="), ast.Is: ("is", "is not"),
    ast.IsNot: ("is not", "is"), ast.In: ("in", "not in"), ast.NotIn: ("not in", "in"),
}  # fmt: skip
COUNTED = {ast.Add: "-", ast.Sub: "+", ast.Mult: "/", ast.Div: "*", ast.FloorDiv: "*"}
FAR = 10_000
"""Seconds; more than any test takes."""
OTHERS = {"min": "max", "max": "min", "any": "all", "all": "any", "abs": ""}


@dataclass(frozen=True)
class Mutant:
    path: str
    function: str
    line: int
    start: int  # in bytes of the file
    end: int
    text: str

    def shown(self, source: bytes) -> tuple[str, str]:
        """The statement's lines before and after, in one line each."""
        first, last = source.rfind(b"\n", 0, self.start) + 1, source.find(b"\n", self.end)
        new = source[first : self.start] + self.text.encode() + source[self.end : last]
        return tuple(" ".join(t.decode().split()) for t in (source[first:last], new))  # type: ignore[return-value]


def mutants_of(path: str, source: bytes) -> Iterator[Mutant]:
    starts = [0]
    for line in source.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))

    def at(node: Any) -> tuple[int, int]:
        return starts[node.lineno - 1] + node.col_offset, starts[
            node.end_lineno - 1
        ] + node.end_col_offset

    def said(node: ast.AST) -> str:
        start, end = at(node)
        return source[start:end].decode()

    def changes(node: ast.AST) -> Iterator[tuple[ast.AST, str]]:
        match node:
            case ast.Compare(left, ops, others):
                for turned in range(len(ops)):
                    words = [COMPARED[type(o)][i == turned] for i, o in enumerate(ops)]
                    pairs = zip(words, map(said, others), strict=True)
                    yield node, " ".join([said(left), *(w for pair in pairs for w in pair)])
            case ast.BoolOp(op, values):
                word = " or " if isinstance(op, ast.And) else " and "
                yield node, "(" + word.join(f"({said(v)})" for v in values) + ")"
            case ast.UnaryOp(ast.Not(), operand):
                yield node, f"({said(operand)})"
            case ast.If(test) | ast.While(test) | ast.IfExp(test):
                if not isinstance(test, ast.Compare | ast.UnaryOp | ast.BoolOp):
                    yield test, f"(not ({said(test)}))"
            case ast.BinOp(left, op, right) if type(op) in COUNTED:
                if not any(isinstance(t, ast.JoinedStr) or _text(t) for t in ast.walk(node)):
                    yield node, f"({said(left)} {COUNTED[type(op)]} {said(right)})"
            case ast.Constant(bool(value)):
                yield node, str(not value)
            case ast.Constant(int(value) | float(value)):
                yield node, repr(value + 1)
            case ast.Return(value) if value and not isinstance(value, ast.Constant):
                yield node, "return None"
            case ast.Expr(ast.Call() | ast.Await()) | ast.AugAssign() | ast.Raise():
                yield node, "pass"
            case ast.Assign([ast.Attribute() | ast.Subscript()]):
                yield node, "pass"
            case ast.Break():
                yield node, "continue"
            case ast.Continue():
                yield node, "break"
            case ast.Call(ast.Name(name), [_, *_]) if name in OTHERS:
                yield node.func, OTHERS[name]
        if isinstance(node, ast.Call):
            first = [a for a in node.args if not isinstance(a, ast.Starred)][:2]
            order = said(node.func) not in ("min", "max")  # which is first means nothing there
            if order and len(first) == 2 and said(first[0]) != said(first[1]):
                start, end = at(first[0])[1], at(first[1])[0]
                between = source[start:end].decode()
                whole = ast.Pass(
                    lineno=first[0].lineno, col_offset=first[0].col_offset,
                    end_lineno=first[1].end_lineno, end_col_offset=first[1].end_col_offset,
                )  # fmt: skip
                yield whole, said(first[1]) + between + said(first[0])
            for keyword in node.keywords:
                if keyword.arg and not isinstance(keyword.value, ast.Constant):
                    yield keyword.value, "None"

    def walk(node: ast.AST, function: str) -> Iterator[Mutant]:
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            function = node.name if function == "<module>" else f"{function}.{node.name}"
        for changed, text in changes(node):
            start, end = at(changed)
            yield Mutant(path, function, changed.lineno, start, end, text)  # type: ignore[attr-defined]
        for name, value in ast.iter_fields(node):
            if name in ("annotation", "returns", "decorator_list", "type_params"):
                continue
            for child in value if isinstance(value, list) else [value]:
                if isinstance(child, ast.AST) and not isinstance(child, ast.JoinedStr):
                    yield from walk(child, function)

    yield from walk(ast.parse(source), "<module>")


def _text(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str | bytes)


def functions_of(source: bytes) -> dict[int, str]:
    """The function that each line lies in, as `Class.method`."""
    found: dict[int, str] = {}

    def walk(node: ast.AST, outer: str) -> None:
        for child in ast.iter_child_nodes(node):
            name = outer
            if isinstance(child, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                name = f"{outer}.{child.name}" if outer else child.name
                assert child.end_lineno
                # the line of `def` runs at import and is no call
                found.update(dict.fromkeys(range(child.body[0].lineno, child.end_lineno + 1), name))
            walk(child, name)

    walk(ast.parse(source), "")
    return found


class Copy:
    """The tree with its environment, of hard links, which may be changed."""

    def __init__(self, name: str) -> None:
        self.root = KEPT / name
        shutil.rmtree(self.root, ignore_errors=True)
        listed = ("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
        for path in subprocess.check_output(listed, cwd=ROOT).decode().split("\0"):
            if path and (ROOT / path).is_file():
                (self.root / path).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / path, self.root / path, follow_symlinks=False)
        subprocess.run(["cp", "-al", sys.prefix, self.root / ".venv"], check=True)
        here, there, place = str(ROOT).encode(), str(self.root).encode(), self.root / ".venv"
        for file in (*place.glob("bin/*"), *place.glob("lib/*/site-packages/_editable_*.pth")):
            if file.is_file() and not file.is_symlink() and here in (text := file.read_bytes()):
                mode = file.stat().st_mode
                file.unlink()
                file.write_bytes(text.replace(here, there))
                file.chmod(mode)
        for words in (["init", "-q"], ["add", "-A"], ["commit", "-q", "-m", "copy"]):
            who = ["-c", "user.name=m", "-c", "user.email=m@localhost"]
            subprocess.run(["git", *who, *words], cwd=self.root, check=True)
        self._newer = time.time()

    def pytest(self, *words: str, limit: float, **env: str) -> "subprocess.CompletedProcess[str]":
        command = [str(self.root / ".venv/bin/python"), "-m", "pytest", "-q", "-p", "no:randomly",
                   "-p", "no:cacheprovider", "--tb=no", *words]  # fmt: skip
        with subprocess.Popen(
            command, cwd=self.root, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            env={**os.environ, **env, "VIRTUAL_ENV": str(self.root / ".venv")},
            process_group=0,
        ) as process:  # fmt: skip
            try:
                out, _ = process.communicate(timeout=limit)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, 9)
                out, _ = process.communicate()
                return subprocess.CompletedProcess(command, 124, out)
        return subprocess.CompletedProcess(command, process.returncode, out)

    def write(self, path: str, source: bytes) -> None:
        """With a time of its own each: what is compiled is kept by time and size."""
        self._newer += 2
        (self.root / path).write_bytes(source)
        os.utime(self.root / path, (self._newer, self._newer))


class Recorder:
    """In a test process under coverage: names the test that runs, and how long it took."""

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        began, measured = time.monotonic(), coverage.Coverage.current()
        assert measured
        measured.switch_context(item.nodeid)
        failed = item.session.testsfailed
        result = yield
        with Path(os.environ["MUTANTS_TIMES"]).open("a") as file:
            passed = item.session.testsfailed == failed
            row = item.nodeid, time.monotonic() - began, passed
            file.write(json.dumps(row) + "\n")
        return result

    def pytest_unconfigure(self) -> None:
        if measured := coverage.Coverage.current():
            measured.stop()
            measured.save()


def pytest_configure(config: pytest.Config) -> None:
    """This file is a plugin of pytest's in the processes that record."""
    if "MUTANTS_TIMES" in os.environ and (hasattr(config, "workerinput")):
        config.pluginmanager.register(Recorder())


def distance(path: str, module: str) -> int | None:
    """How near a test file is to a module: 0 where it imports it, 1 in the folder that mirrors the
    module's, or an outer one where there is none such, None elsewhere."""
    text, parts = (ROOT / path).read_text(), Path(module).with_suffix("").parts
    folders = [Path("tests", *parts[1:n]) for n in range(len(parts) - 1, 1, -1)]
    folder = next((f for f in folders if (ROOT / f).is_dir()), None)
    package, name = ".".join(parts[:-1]), parts[-1]
    imports = rf"\b{re.escape(f'{package}.{name}')}\b|from {re.escape(package)} import .*\b{name}\b"
    if re.search(imports, text):
        return 0
    return 1 if folder is not None and folder in Path(path).parents else None


def map_of(copy: Copy, files: list[str], jobs: int) -> dict[str, Any]:
    """For each test file: its tests with their seconds, and which run each function."""
    kept_at = KEPT / "map.json"
    kept: dict[str, Any] = json.loads(kept_at.read_text()) if kept_at.exists() else {}
    digests = {f: hashlib.sha256((ROOT / f).read_bytes()).hexdigest() for f in files}
    stale = [f for f in files if kept.get(f, {}).get("digest") != digests[f]]
    if stale:
        print(f"finding out what the tests of {len(stale)} files run ...", flush=True)
        data, times, rc = (KEPT / f"{copy.root.name}-{n}" for n in ("data", "times", "rc"))
        rc.write_text(
            f"[run]\ndata_file = {data}\nparallel = true\nsource = {copy.root / 'avo_tui'}\n"
            "core = ctrace\ncontext = ${PYTEST_CURRENT_TEST-}\n"
        )
        words = ("-p", "benchmarks.mutants", "-m", "not slow", "-n", str(jobs), *stale)
        env = {"COVERAGE_PROCESS_START": str(rc), "MUTANTS_TIMES": str(times)}
        ran = copy.pytest(*words, limit=7200, **env)
        print("  " + ran.stdout.strip().splitlines()[-1], flush=True)
        for file in stale:
            kept[file] = {"digest": digests[file], "tests": {}, "runs": defaultdict(list)}
        for row in times.read_text().splitlines():
            name, seconds, passed = json.loads(row)
            if passed and (entry := kept.get(name.split("::")[0])):
                entry["tests"][name] = seconds
        joined = coverage.Coverage(data_file=str(data), config_file=str(rc))
        joined.combine([str(p) for p in KEPT.glob(f"{data.name}.*")], keep=False)
        for path in joined.get_data().measured_files():
            relative = str(Path(path).relative_to(copy.root))
            inside = functions_of(Path(path).read_bytes())
            runs: dict[str, set[str]] = defaultdict(set)
            for line, contexts in joined.get_data().contexts_by_lineno(path).items():
                runs[inside.get(line, "")].update(contexts)
            for function, ran_in in runs.items():
                for test in {re.sub(r" \((setup|call|teardown)\)$", "", c) for c in ran_in}:
                    test = test.split(" (call)|")[-1].split(" (setup)|")[-1].lstrip("|")
                    entry = kept.get(test.split("::")[0])
                    if function and entry and test in entry["tests"]:
                        entry["runs"].setdefault(f"{relative}::{function}", []).append(test)
        before = json.loads(kept_at.read_text()) if kept_at.exists() else {}
        kept_at.write_text(json.dumps({**before, **kept}))  # another run may have added some
    return {f: kept[f] for f in files}


def chosen(mutant: Mutant, kept: dict[str, Any], seconds: float) -> list[str]:
    where = f"{mutant.path}::{mutant.function}"
    found: dict[str, float] = {}
    for file, entry in kept.items():
        names = (
            [n for w, names in entry["runs"].items() if w.startswith(mutant.path) for n in names]
            if mutant.function not in "".join(w for w in entry["runs"] if w.startswith(mutant.path))
            else entry["runs"].get(where, [])
        )
        far = distance(file, mutant.path)
        begin = (3 if far is None else far) * FAR
        found.update({n: begin + entry["tests"][n] for n in names})
    picked: list[str] = []
    spent = 0.0
    for name, order in sorted(found.items(), key=lambda i: i[1]):
        spent += order % FAR
        if picked and spent > seconds:
            break
        picked.append(name)
    return picked


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("rooms", nargs="+", help="files or folders of avo_tui")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("-n", type=int, default=15, help="how many mistakes (15)")
    parser.add_argument(
        "--seconds",
        type=float,
        default=150,
        help="of tests for each, as recorded under coverage (150)",
    )
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--tests", nargs="*", help="test files or folders (those that concern it)")
    parser.add_argument("--list", action="store_true", help="only show the mistakes drawn")
    args = parser.parse_args()
    KEPT.mkdir(exist_ok=True)
    (KEPT / ".gitignore").write_text("*\n")
    paths = [ROOT / room for room in args.rooms]
    modules = sorted({m for p in paths for m in (p.rglob("*.py") if p.is_dir() else [p])})
    sources = {str(m.relative_to(ROOT)): m.read_bytes() for m in modules}
    sites = [mutant for path, source in sources.items() for mutant in mutants_of(path, source)]
    drawn = random.Random(args.seed).sample(sites, min(args.n, len(sites)))
    if args.list:
        for mutant in drawn:
            print(f"{mutant.path}:{mutant.line} {' → '.join(mutant.shown(sources[mutant.path]))}")
        return 0
    roots = [ROOT / t for t in args.tests or ["tests"]]
    files = [t for r in roots for t in (sorted(r.rglob("test_*.py")) if r.is_dir() else [r])]
    names = [str(f.relative_to(ROOT)) for f in files]
    names = [f for f in names if args.tests or any(distance(f, m) is not None for m in sources)]
    copy = Copy(f"tree-{os.getpid()}")
    try:
        kept = map_of(copy, names, args.jobs)
        same = EQUIVALENT.read_text() if EQUIVALENT.exists() else ""
        counts = {"noticed": 0, "equivalent": 0, "NOT NOTICED": 0}
        for mutant in drawn:
            source = sources[mutant.path]
            before, after = mutant.shown(source)
            tests, why = chosen(mutant, kept, args.seconds), ""
            if f"{mutant.path}: {before} → {after}\n" in same:
                said = "equivalent"
            elif not tests:
                said, why = "NOT NOTICED", "no test runs it"
            else:
                copy.write(
                    mutant.path,
                    source[: mutant.start] + mutant.text.encode() + source[mutant.end :],
                )
                ran = copy.pytest("-x", "--timeout=120", *tests, limit=4 * args.seconds + 120)
                copy.write(mutant.path, source)
                failed = re.search(r"^(?:FAILED|ERROR) (\S+)", ran.stdout, re.M)
                said = "noticed" if ran.returncode else "NOT NOTICED"
                why = (
                    failed[1]
                    if failed
                    else f"{len(tests)} tests"
                    if not ran.returncode
                    else "no end"
                )
            counts[said] += 1
            print(f"{said}: {mutant.path}:{mutant.line} {before} → {after} [{why}]", flush=True)
        shown = ", ".join(f"{number} {said}" for said, number in counts.items())
        share = counts["noticed"] / max(1, len(drawn) - counts["equivalent"])
        print(f"{' '.join(args.rooms)} seed {args.seed}: {len(drawn)} drawn, {shown}: {share:.0%}")
    finally:
        shutil.rmtree(copy.root, ignore_errors=True)
    return counts["NOT NOTICED"] > 0


if __name__ == "__main__":
    sys.exit(main())
