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
import time
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath

from avo_tui.domain.base import Value
from avo_tui.domain.candidate import Candidate
from avo_tui.domain.report import Resources
from avo_tui.domain.verdict import Feedback, Verdict
from avo_tui.evaluation.backends.cuda import cubin, includes, ptxas, toolkit
from avo_tui.evaluation.backends.cuda.manifest import Manifest
from avo_tui.evaluation.backends.cuda.manifest_text import (
    Issue,
    ManifestError,
    file_of,
    line_of,
    parse,
)
from avo_tui.evaluation.backends.cuda.units import Unit, check_entries, resources_of
from avo_tui.evaluation.sandbox.policy import MIB, Job, Limits
from avo_tui.evaluation.sandbox.run import Sandbox

CHILD = Path(__file__).with_name("compile_child.py")
SECONDS = 120.0
MAX_GLOBAL_BYTES = 1 * MIB
"""Largest size of `__device__` variables in bytes; more could hold the results of earlier runs."""
MAX_LOG = 24_000
MAX_PARALLEL = 2


class CompiledCandidate(Value):
    """The result of a compilation: cubins, or a verdict with feedback."""

    candidate: str
    architecture: str
    verdict: Verdict
    feedback: Feedback
    resources: Resources = Resources()
    manifest: Manifest | None = None
    manifest_text: str = ""
    manifest_file: str = "launch.toml"
    units: tuple[Unit, ...] = ()
    seconds: float = 0.0
    launch_saw_hidden: bool = False
    """Whether the candidate's own `launch` ran on hidden configurations."""

    @property
    def ok(self) -> bool:
        """True if there is something to launch."""
        return self.verdict is Verdict.CORRECT

    def unit_of(self, variant: int | None) -> Unit:
        """The unit that a variant launches."""
        return next(u for u in self.units if variant in u.variants)


class _RefusedError(Exception):
    """Ends the compilation with a verdict."""

    def __init__(self, verdict: Verdict, feedback: Feedback) -> None:
        super().__init__(feedback.summary)
        self.verdict = verdict
        self.feedback = feedback


class Compiler:
    """Compiles candidates; remembers the last ones by content and architecture."""

    def __init__(self, sandbox: Sandbox, *, keep: int = 24) -> None:
        self._sandbox = sandbox
        self._keep = keep
        self._known: OrderedDict[tuple[str, str], CompiledCandidate] = OrderedDict()

    async def compile(self, candidate: Candidate, architecture: str) -> CompiledCandidate:
        """Never raises for what a candidate can do; a missing compiler raises ToolkitError."""
        key = (candidate.id, architecture)
        if key in self._known:
            self._known.move_to_end(key)
            return self._known[key].model_copy(update={"seconds": 0.0})
        began = time.monotonic()
        facts = {"candidate": candidate.id, "architecture": architecture}
        try:
            result = await self._compile(candidate, architecture)
        except ManifestError as error:
            result = CompiledCandidate(
                **facts, verdict=Verdict.MANIFEST_ERROR, feedback=manifest_feedback(error)
            )
        except _RefusedError as refusal:
            result = CompiledCandidate(**facts, verdict=refusal.verdict, feedback=refusal.feedback)
        result = result.model_copy(update={"seconds": time.monotonic() - began})
        self._known[key] = result
        while len(self._known) > self._keep:
            self._known.popitem(last=False)
        return result

    async def _compile(self, candidate: Candidate, architecture: str) -> CompiledCandidate:
        manifest, text, file = read_manifest(candidate)
        source = source_of(manifest, candidate, file, text)
        _refuse_includes(candidate)
        groups = macro_groups(manifest)
        gate = asyncio.Semaphore(MAX_PARALLEL)

        async def one(
            macros: tuple[tuple[str, str], ...], variants: list[int | None]
        ) -> tuple[Unit, str, dict[str, int]]:
            async with gate:
                return await self._unit(candidate, manifest, source, architecture, macros, variants)

        # Waits for all of them even if one fails: the event loop would otherwise wait for an
        # abandoned compiler at its end, and never finish.
        results = await asyncio.gather(
            *(one(m, v) for m, v in groups.items()), return_exceptions=True
        )
        done = []
        for result in results:
            if isinstance(result, BaseException):
                raise result
            done.append(result)
        units = [unit for unit, _, _ in done]
        check_entries(manifest, units, file, text)
        logs = [log for _, log, _ in done]
        log = ptxas.tidy(_plain_paths("\n".join(dict.fromkeys(logs))))
        resources = resources_of(units, logs, [counts for _, _, counts in done])
        many = f", {len(units)} variants of it" if len(units) > 1 else ""
        notes = [f"{len(resources.warnings)} warnings"] if resources.warnings else []
        summary = " · ".join([f"compiled for {architecture}{many}", resources.summary(), *notes])
        return CompiledCandidate(
            candidate=candidate.id,
            architecture=architecture,
            verdict=Verdict.CORRECT,
            feedback=Feedback(
                summary=summary, hint="\n".join(resources.warnings), log=bounded(log)
            ),
            resources=resources,
            manifest=manifest,
            manifest_text=text,
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
    ) -> tuple[Unit, str, dict[str, int]]:
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
            job = _compile_job(scratch, request)
            outcome = await self._sandbox.run(job)
            reply_file = scratch / "reply.json"
            if outcome.reason == "time":
                raise _RefusedError(
                    Verdict.COMPILE_ERROR,
                    Feedback(
                        summary=f"the compiler did not end within {SECONDS:.0f} s",
                        hint="Unroll less, or instantiate fewer templates.",
                    ),
                )
            if not outcome.ok or not reply_file.is_file():
                raise _compiler_failed(outcome.reason, outcome.error, outcome.stderr)
            reply = json.loads(reply_file.read_text(encoding="utf-8"))
            code = (scratch / "unit.cubin").read_bytes() if reply["ok"] else b""
        if not reply["ok"]:
            raise _refused_by_compiler(
                {**reply, "source": source}, macros if manifest.variants else ()
            )
        symbols = {e: reply["symbols"].get(e, e) for e in entries}
        image = cubin.read(code)
        refusal = objection(image)
        if refusal is not None:
            raise _RefusedError(Verdict.COMPILE_ERROR, refusal)
        unit = Unit(
            variants=tuple(variants),
            macros=dict(macros),
            code=code,
            symbols=symbols,
            image=image,
        )
        return unit, reply["log"], reply.get("instructions", {})


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


def manifest_feedback(error: ManifestError) -> Feedback:
    """The feedback for a manifest that is wrong."""
    lines = error.lines()
    more = f" (and {len(lines) - 1} more)" if len(lines) > 1 else ""
    return Feedback(
        summary=f"{lines[0]}{more}",
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
        raise _RefusedError(
            Verdict.COMPILE_ERROR, Feedback(summary=lines[0], detail="\n".join(lines[:10]))
        )


def _compiler_failed(reason: str, error: str, stderr: str) -> Exception:
    if reason in {"memory", "processes", "scratch", "output", "signalled"}:
        return _RefusedError(
            Verdict.COMPILE_ERROR,
            Feedback(
                summary=f"the compiler was ended: {reason}",
                hint="The source asks too much of the compiler; make it smaller.",
                log=bounded(stderr),
            ),
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
    log = ptxas.tidy(
        _plain_paths(re.sub(r"^.*NVRTC_ERROR\w*, compilation log:", "", log, flags=re.M))
    )
    errors = [m[0].strip() for m in _ERROR_LINE.finditer(log) if "detected in" not in m[0]]
    own = [line for line in errors if line.startswith(str(reply["source"]))]
    first = (own or errors or ["the compiler refused the source"])[0]
    missing = list(dict.fromkeys(_ELSEWHERE.findall(log)))
    if missing and not own:
        names = ", ".join(name for name, _ in missing[:5])
        first = f"{missing[0][1]} does not have these instructions: {names}"
    note = "with macros " + ", ".join(f"{k}={v}" for k, v in macros) if macros else ""
    return _RefusedError(
        Verdict.COMPILE_ERROR,
        Feedback(
            summary=first[:300],
            detail=note,
            hint="wgmma is Hopper's (sm_90a); Blackwell (sm_100a) multiplies by tcgen05."
            if missing
            else "",
            log=bounded(log),
        ),
    )


def _plain_paths(log: str) -> str:
    """The compiler's text with headers named as a candidate includes them."""
    for folder in sorted([str(toolkit.PRELUDE), *toolkit.include_folders()], key=len, reverse=True):
        log = log.replace(f"{folder}/", "")
    return log.replace("\0", "")


_PROVIDED = frozenset({"vprintf", "__assertfail"})
"""Driver functions that a kernel may call: printing and failing an assertion."""


def objection(image: cubin.Image) -> Feedback | None:
    """Feedback on forbidden content of a cubin: memory that outlives a run, or unresolved
    functions."""
    called = sorted(n for n in image.undefined - _PROVIDED if not n.startswith("."))
    if called:
        # The heap of device code would keep its content beyond a run.
        return Feedback(
            summary=f"the kernels call {', '.join(called)}, which the harness does not provide",
            hint="Take memory from a workspace; there is no heap.",
        )
    if image.global_bytes > MAX_GLOBAL_BYTES:
        return Feedback(
            summary=f"__device__ variables take {image.global_bytes} bytes; the limit is "
            f"{MAX_GLOBAL_BYTES}",
            hint="Use a workspace for memory between launches.",
        )
    return None


def _text(value: bool | int | float | str) -> str:
    return str(int(value)) if isinstance(value, bool) else str(value)


def bounded(log: str) -> str:
    """The log without its middle, where it is long."""
    if len(log) <= MAX_LOG:
        return log
    half = MAX_LOG // 2
    return f"{log[:half]}\n… {len(log) - MAX_LOG} characters left out …\n{log[-half:]}"
