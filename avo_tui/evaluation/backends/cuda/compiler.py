"""Compiles a candidate to cubins: reads the manifest, scans includes, runs NVRTC in the sandbox.

Needs no GPU and no driver. Every set of macros selected by the variants is one translation unit and
one cubin; a candidate without variants has one.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath

from pydantic import Field

from avo_tui.domain.base import Value
from avo_tui.domain.candidate import Candidate
from avo_tui.domain.report import Resources
from avo_tui.domain.verdict import Verdict
from avo_tui.evaluation.backends.base import Rejected, refused
from avo_tui.evaluation.backends.cuda import cubin, includes, toolkit
from avo_tui.evaluation.backends.cuda.manifest import (
    Issue,
    Manifest,
    ManifestError,
    file_of,
    line_of,
    parse,
    undotted,
)
from avo_tui.evaluation.sandbox.policy import MIB, Job, Limits
from avo_tui.evaluation.sandbox.run import Sandbox

_KERNEL = re.compile(r"(?:Compiling entry function '|Function properties for )([^'\s]+)")
_USES = {
    "registers": re.compile(r"Used (\d+) registers"),
    "barriers": re.compile(r"used (\d+) barriers"),
    "stack_bytes": re.compile(r"(\d+) bytes stack frame"),
    "spill_stores": re.compile(r"(\d+) bytes spill stores"),
    "spill_loads": re.compile(r"(\d+) bytes spill loads"),
    "static_shared": re.compile(r"(\d+) bytes smem"),
}

ADVICE = {
    "C7504": "setmaxnreg was ignored (the code came through PTX); it has no effect here",
    "C7506": "setmaxnreg was ignored: the kernel's register count is not known at entry",
    "C7508": "setmaxnreg was ignored: the kernel needs a register cap at entry; write "
    "__launch_bounds__(threads, 1) and choose the roles in one if/else",
    "C7510": "wgmma was serialised: its accumulators are touched, or cross a call, between the "
    "matrix instructions; this costs most of the speed",
    "C7514": "wgmma was serialised: its accumulators are used without a wait before; this costs "
    "most of the speed",
}
_CODE = re.compile(r"\b(C75\d\d)\b")
_WARNING = re.compile(r"^.*\bwarning\b.*$", re.IGNORECASE | re.MULTILINE)


def kernels(log: str) -> dict[str, dict[str, int]]:
    """What ptxas says of each kernel, by its symbol."""
    uses: dict[str, dict[str, int]] = {}
    name = ""
    for line in log.splitlines():
        if match := _KERNEL.search(line):
            name = match[1]
            if "entry function" in line:
                uses.setdefault(name, dict.fromkeys(_USES, 0))
        if name in uses:
            matches = {what: pattern.search(line) for what, pattern in _USES.items()}
            uses[name] |= {what: int(match[1]) for what, match in matches.items() if match}
    return uses


def warnings(log: str) -> tuple[str, ...]:
    """Warnings worth an agent's attention, each once: those that cost speed first."""
    texts: list[str] = []
    for line in log.splitlines():
        code = _CODE.search(line)
        if code and code[1] in ADVICE:
            texts.append(f"{code[1]}: {ADVICE[code[1]]}")
        elif code:
            texts.append(line.strip())
    for match in _WARNING.finditer(log):
        if not _CODE.search(match[0]):
            texts.append(match[0].strip()[:300])
    return tuple(dict.fromkeys(texts))[:20]


def tidy(log: str) -> str:
    """The log without the lines that say nothing: compile times and empty ones."""
    kept = [
        line.rstrip() for line in log.splitlines() if line.strip() and "Compile time =" not in line
    ]
    return "\n".join(kept)


class Unit(Value):
    """One compiled translation unit."""

    variants: tuple[int | None, ...]
    """The variants (None: no variant) that use it."""
    macros: dict[str, str]
    code: bytes = Field(repr=False)
    """The cubin."""
    symbols: dict[str, str]
    """Entry as the manifest names it → symbol in the cubin."""
    image: cubin.Image
    log: str = ""
    """What the compiler said."""
    instructions: dict[str, int] = Field(default_factory=dict)
    """Class of instruction → how many."""
    hidden: bool = False
    """Made for hidden configurations alone: nothing of it is shown."""

    def request(self, path: str) -> dict[str, object]:
        """What the GPU process is told of it; `path` holds the code."""
        fresh = self.image.global_bytes > 0
        return {"path": path, "symbols": self.symbols, "fresh": fresh}


SIZES = {
    "tensor": 8, "workspace": 8, "map": 128, "i32": 4, "u32": 4, "i64": 8, "u64": 8, "f32": 4,
    "f64": 8,
}  # fmt: skip
"""Bytes of each kind of parameter."""


def check_entries(manifest: Manifest, units: Sequence[Unit], file: str, text: str) -> None:
    """Every stage names a kernel of its unit, with as many parameters of the same sizes."""
    issues: list[Issue] = []

    def issue(path: str, reason: str) -> None:
        line = line_of(text, undotted(path)) if file.endswith(".toml") else None
        if all(i.path != path for i in issues):
            issues.append(Issue(path=path, line=line, reason=reason))

    for unit in units:
        for variant in unit.variants:
            for stage, where in manifest.launches_of(variant):
                kernel = unit.image.kernels.get(unit.symbols[stage.entry])
                if kernel is None:
                    have = ", ".join(sorted(unit.image.kernels)) or "none"
                    issue(
                        f"{where}.entry",
                        f"there is no kernel {stage.entry!r} in the compiled source; it has: {have}"
                        ' (declare it extern "C" __global__)',
                    )
                    continue
                given = manifest.params_of(stage, where)
                if given is None:
                    issue(
                        f"{where}.entry",
                        f"{stage.entry!r} has no parameters: add [kernels.{stage.entry}]",
                    )
                    continue
                params, path = given
                if len(params) != len(kernel.params):
                    issue(
                        path,
                        f"lists {len(params)} parameters; kernel {stage.entry} has "
                        f"{len(kernel.params)}",
                    )
                    continue
                for i, (param, size) in enumerate(zip(params, kernel.params, strict=True)):
                    ours = SIZES[param.kind]
                    if ours != size:
                        issue(
                            f"{path}[{i}]",
                            f"{param.kind} has {ours} bytes; parameter {i} of kernel "
                            f"{stage.entry} has {size}",
                        )
    if issues:
        raise ManifestError(issues, file)


def resources_of(units: Sequence[Unit]) -> Resources:
    """Registers, spills, memory, code and counts: the largest over all units."""
    uses: dict[str, dict[str, int]] = {}
    instructions: dict[str, int] = {}
    for unit in units:
        named = {symbol: entry for entry, symbol in unit.symbols.items()}
        for symbol, use in kernels(unit.log).items():
            name = named.get(symbol, symbol)
            if len(units) > 1:
                which = ", ".join("default" if v is None else f"{v}" for v in unit.variants)
                name = f"{name} [variant {which}]"
            image = unit.image.kernels.get(symbol)
            uses[name] = {
                "registers": use["registers"],
                "spill_bytes": use["spill_stores"] + use["spill_loads"],
                "stack_bytes": use["stack_bytes"],
                "shared_memory": image.static_shared if image else use["static_shared"],
                "barriers": use["barriers"],
                "code_bytes": image.code_bytes if image else 0,
            }
        for name, number in unit.instructions.items():
            instructions[name] = max(instructions.get(name, 0), number)
    largest = {
        what: max((use[what] for use in uses.values()), default=0)
        for what in ("registers", "spill_bytes", "stack_bytes", "shared_memory")
    }
    return Resources(
        **largest,
        code_bytes=max((u.image.code_bytes for u in units), default=0),
        instructions=instructions,
        kernels=uses,
        warnings=tuple(dict.fromkeys(w for unit in units for w in warnings(unit.log))),
    )


CHILD = Path(__file__).with_name("compile_child.py")
SECONDS = 120.0
MAX_GLOBAL_BYTES = 1 * MIB
"""Largest size of `__device__` variables in bytes; more could hold the results of earlier runs."""
MAX_LOG = 24_000
MAX_PARALLEL = 2


class CompiledCandidate(Value):
    """What there is to launch: the cubins of a candidate for one architecture."""

    architecture: str
    resources: Resources
    log: str
    manifest: Manifest | None = None
    manifest_file: str = "launch.toml"
    units: tuple[Unit, ...] = ()
    launch_saw_hidden: bool = False
    """Whether the candidate's own `launch` ran on hidden configurations."""

    def unit_of(self, variant: int | None) -> Unit:
        """The unit that a variant launches."""
        return next(u for u in self.units if variant in u.variants)


def log_of(units: Sequence[Unit]) -> str:
    """What the compiler said of all of them, each sentence once."""
    return tidy("\n".join(dict.fromkeys(unit.log for unit in units)))


class Compiler:
    """Compiles candidates in the sandbox."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox

    async def compile(self, candidate: Candidate, architecture: str) -> CompiledCandidate:
        """Raises Rejected."""
        try:
            return await self._compile(candidate, architecture)
        except ManifestError as error:
            raise manifest_refused(error) from error
        except toolkit.ToolkitError as error:
            raise refused(Verdict.HARNESS_ERROR, str(error)) from error

    async def _compile(self, candidate: Candidate, architecture: str) -> CompiledCandidate:
        manifest, text, file = read_manifest(candidate)
        source = source_of(manifest, candidate, file, text)
        _refuse_includes(candidate)
        groups = macro_groups(manifest)
        gate = asyncio.Semaphore(MAX_PARALLEL)

        async def one(macros: tuple[tuple[str, str], ...], variants: list[int | None]) -> Unit:
            async with gate:
                return await self._unit(candidate, manifest, source, architecture, macros, variants)

        # Waits for all of them even if one fails: the event loop would otherwise wait for an
        # abandoned compiler at its end, and never finish.
        results = await asyncio.gather(
            *(one(m, v) for m, v in groups.items()), return_exceptions=True
        )
        units = []
        for result in results:
            if isinstance(result, BaseException):
                raise result
            units.append(result)
        check_entries(manifest, units, file, text)
        return CompiledCandidate(
            architecture=architecture,
            resources=resources_of(units),
            log=bounded(_plain_paths(log_of(units))),
            manifest=manifest,
            manifest_file=file,
            units=tuple(units),
        )

    async def _unit(
        self,
        candidate: Candidate,
        manifest: Manifest,
        source: str,
        architecture: str,
        macros: tuple[tuple[str, str], ...],
        variants: list[int | None],
    ) -> Unit:
        entries = {stage.entry for v in variants for stage, _ in manifest.launches_of(v)}
        with self._sandbox.scratch() as scratch:
            write_sources(scratch / "src", candidate)
            request = {
                "source": source,
                "architecture": architecture,
                "options": manifest.compile.model_dump(),
                "macros": macros,
                "expressions": sorted(e for e in entries if re.search(r"[<:]", e)),
            }
            outcome = await self._sandbox.run(_compile_job(scratch, request))
            reply_file = scratch / "reply.json"
            if outcome.reason == "time":
                raise refused(
                    Verdict.COMPILE_ERROR,
                    f"the compiler did not end within {SECONDS:.0f} s",
                    hint="Unroll less, or instantiate fewer templates.",
                )
            if not outcome.ok or not reply_file.is_file():
                raise _compiler_failed(outcome.reason, outcome.error, outcome.stderr)
            reply = json.loads(reply_file.read_text(encoding="utf-8"))
            code = (scratch / "unit.cubin").read_bytes() if reply["ok"] else b""
        if not reply["ok"]:
            raise _refused_by_compiler(
                {**reply, "source": source}, macros if manifest.variants else ()
            )
        image = cubin.read(code)
        refuse_content(image)
        return Unit(
            variants=tuple(variants),
            macros=dict(macros),
            code=code,
            symbols={e: reply["symbols"].get(e, e) for e in entries},
            image=image,
            log=reply["log"],
            instructions=reply.get("instructions", {}),
        )


def write_sources(folder: Path, candidate: Candidate) -> None:
    """The candidate's files, under the names that they include each other by."""
    for name, text in candidate.files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


def _compile_job(scratch: Path, request: Mapping[str, object]) -> Job:
    """The job that compiles `request["source"]` of `scratch`/src into `scratch`/unit.cubin."""
    toolkit.require_compiler()
    folders = toolkit.include_folders()
    tool = toolkit.nvdisasm()
    beside = str(PurePosixPath("src", str(request["source"])).parent)
    include = [str(toolkit.PRELUDE), beside, "src", *folders]
    whole = {**request, "include": include, "nvdisasm": tool}
    (scratch / "request.json").write_text(json.dumps(whole), encoding="utf-8")
    read = [str(CHILD), str(toolkit.PRELUDE), *folders]
    read += [entry for entry in sys.path if entry.endswith(("-packages", "/lib-dynload"))]
    if tool:
        read.append(str(Path(tool).parent))
    return Job(
        command=(sys.executable, "-I", "-B", str(CHILD), "request.json", "reply.json"),
        scratch=scratch,
        limits=Limits(seconds=SECONDS, memory_bytes=6144 * MIB, address_bytes=None, processes=64),
        read=_outside_usr(read),
    )


def read_manifest(candidate: Candidate) -> tuple[Manifest, str, str]:
    """The manifest, its text and its file's name. Raises ManifestError."""
    file = file_of(candidate)
    text = candidate.files[file]
    return parse(text, file), text, file


def manifest_refused(error: ManifestError, configuration: str | None = None) -> Rejected:
    """The rejection for a manifest that is wrong."""
    lines = error.lines()
    more = f" (and {len(lines) - 1} more)" if len(lines) > 1 else ""
    return refused(
        Verdict.MANIFEST_ERROR,
        f"{lines[0]}{more}",
        configuration=configuration,
        detail="\n".join(lines),
        hint="Correct the launch manifest; the task's description has the whole of its language.",
    )


def _outside_usr(paths: Sequence[str]) -> tuple[str, ...]:
    """Where the paths really are; those below /usr every sandbox shows anyway."""
    return tuple(dict.fromkeys(os.path.realpath(p) for p in paths if not p.startswith("/usr/")))


def macro_groups(manifest: Manifest) -> dict[tuple[tuple[str, str], ...], list[int | None]]:
    """Sets of macros → the variants (None: no variant) compiled with them, one unit each."""
    groups: dict[tuple[tuple[str, str], ...], list[int | None]] = {}
    for variant in [None, *range(len(manifest.variants))]:
        macros = tuple((k, _text(v)) for k, v in sorted(manifest.macros_of(variant).items()))
        groups.setdefault(macros, []).append(variant)
    return groups


def source_of(manifest: Manifest, candidate: Candidate, file: str, text: str) -> str:
    """Name of the file that is compiled. Raises ManifestError where it is not clear."""
    units = [name for name in candidate.files if name.endswith(".cu")]
    if manifest.source is not None:
        if manifest.source in candidate.files and manifest.source != file:
            return manifest.source
        have = ", ".join(candidate.files)
        reason = f"the candidate has no file {manifest.source!r}; it has: {have}"
    elif len(units) == 1:
        return units[0]
    else:
        reason = f"name the file to compile; the candidate has {len(units)} files ending in .cu"
    raise ManifestError(
        [Issue(path="source", line=line_of(text, ("source",)), reason=reason)], file
    )


def _refuse_includes(candidate: Candidate) -> None:
    issues = includes.scan(candidate)
    if not issues and toolkit.cutlass_folder() is None:
        issues = includes.needing_cutlass(candidate)
    if issues:
        lines = [f"{i.file}:{i.line}: {i.reason}" for i in issues]
        raise refused(Verdict.COMPILE_ERROR, lines[0], detail="\n".join(lines[:10]))


def _compiler_failed(reason: str, error: str, stderr: str) -> Exception:
    if reason in {"memory", "processes", "scratch", "output", "signalled"}:
        return refused(
            Verdict.COMPILE_ERROR,
            f"the compiler was ended: {reason}",
            hint="The source asks too much of the compiler; make it smaller.",
            log=bounded(stderr),
        )
    last = (error or stderr).strip().splitlines()
    return toolkit.ToolkitError(
        f"the compiler could not run: {last[-1] if last else reason}; "
        "check the installation with 'avo doctor'"
    )


_ELSEWHERE = re.compile(r"Instruction '([^']+)' not supported on \.target '([^']+)'")
_ERROR_LINE = re.compile(r"^.*(?:\berror\b|\bfatal\b).*$", re.MULTILINE | re.IGNORECASE)


def _refused_by_compiler(reply: dict[str, object], macros: Sequence[tuple[str, str]]) -> Exception:
    log = str(reply["log"])
    if "compil" not in log.lower() and "ptxas" not in log and not _ERROR_LINE.search(log):
        return toolkit.ToolkitError(f"the compiler could not run: {log.strip()[-300:]}")
    log = tidy(_plain_paths(re.sub(r"^.*NVRTC_ERROR\w*, compilation log:", "", log, flags=re.M)))
    errors = [m[0].strip() for m in _ERROR_LINE.finditer(log) if "detected in" not in m[0]]
    own = [line for line in errors if line.startswith(str(reply["source"]))]
    first = (own or errors or ["the compiler refused the source"])[0]
    missing = list(dict.fromkeys(_ELSEWHERE.findall(log)))
    if missing and not own:
        names = ", ".join(name for name, _ in missing[:5])
        first = f"{missing[0][1]} does not have these instructions: {names}"
    note = "with macros " + ", ".join(f"{k}={v}" for k, v in macros) if macros else ""
    hint = "wgmma is Hopper's (sm_90a); Blackwell (sm_100a) multiplies by tcgen05."
    return refused(
        Verdict.COMPILE_ERROR,
        first[:300],
        detail=note,
        hint=hint if missing else "",
        log=bounded(log),
    )


def _plain_paths(log: str) -> str:
    """The compiler's text with headers named as a candidate includes them."""
    for folder in sorted([str(toolkit.PRELUDE), *toolkit.include_folders()], key=len, reverse=True):
        log = log.replace(f"{folder}/", "")
    return log.replace("\0", "")


_PROVIDED = frozenset({"vprintf", "__assertfail"})
"""Driver functions that a kernel may call: printing and failing an assertion."""


def refuse_content(image: cubin.Image) -> None:
    """Raises Rejected for what a cubin must not hold: memory that outlives a run, or calls of
    functions that nobody provides."""
    called = sorted(n for n in image.undefined - _PROVIDED if not n.startswith("."))
    if called:
        # The heap of device code would keep its content beyond a run.
        raise refused(
            Verdict.COMPILE_ERROR,
            f"the kernels call {', '.join(called)}, which the harness does not provide",
            hint="Take memory from a workspace; there is no heap.",
        )
    if image.global_bytes > MAX_GLOBAL_BYTES:
        raise refused(
            Verdict.COMPILE_ERROR,
            f"__device__ variables take {image.global_bytes} bytes; the limit is "
            f"{MAX_GLOBAL_BYTES}",
            hint="Use a workspace for memory between launches.",
        )


def _text(value: bool | int | float | str) -> str:
    return str(int(value)) if isinstance(value, bool) else str(value)


def bounded(log: str) -> str:
    """The log without its middle, where it is long."""
    if len(log) <= MAX_LOG:
        return log
    half = MAX_LOG // 2
    return f"{log[:half]}\n… {len(log) - MAX_LOG} characters left out …\n{log[-half:]}"
