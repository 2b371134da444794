"""Writes the forms of `avo export`: repository, branch, page, source, packages, recording."""

import asyncio
import keyword
import re
from dataclasses import dataclass
from pathlib import Path

from avo_tui.domain.candidate import Candidate
from avo_tui.domain.deployment import Deployment
from avo_tui.domain.repository import Proof
from avo_tui.evaluation.backends.base import Rejected
from avo_tui.evaluation.backends.command.base import checkout
from avo_tui.evaluation.backends.command.task import RepositoryTask
from avo_tui.evaluation.backends.command.trying import prove
from avo_tui.evaluation.deployment import DeploymentRequest, deploy, write_source
from avo_tui.evaluation.ports import EvaluatorError
from avo_tui.evaluation.sandbox.run import Sandbox
from avo_tui.evaluation.tasks import find_tasks
from avo_tui.export.branch import Origin, as_branch
from avo_tui.export.folder import Exported, ExportError, new_folder, require_new, write
from avo_tui.export.git import as_git
from avo_tui.export.kernel import as_source, chosen, version_of
from avo_tui.export.page import as_page
from avo_tui.export.torch_package import Backward, as_hf_kernel, as_torch
from avo_tui.operators.recorded.recording import from_events
from avo_tui.store import SessionReader

RECORDING = "recording.json"


@dataclass(frozen=True)
class ExportOptions:
    version: int | None = None
    """Version to export, for a form made from one version; None for the one that the session's
    bookmark `export` names, or else the best."""
    architectures: tuple[str, ...] = ()
    """GPU architectures to compile for; empty for the device's own, or the default one."""
    shapes: tuple[str, ...] = ()
    """Further shapes, each as `name=value,…`."""
    domain: Path | None = None
    """Of the sizes that a package takes; None for the task's own."""
    function: str = ""
    """Name of the kernel in the package; empty for the name that the task gives."""
    backward: SessionReader | None = None
    """The session whose best version computes the gradients."""


def take(
    form: str, reader: SessionReader, to: Path, options: ExportOptions
) -> tuple[Exported, str]:
    """Write a form of a session to a new folder: what was written, and what to do with it next.

    Raises ExportError with one sentence.
    """
    require_new(to)
    number = options.version
    try:
        match form:
            case "git":
                done = as_git(reader, to)
                log = f"git -C {done.folder} log --graph --all"
                return done, f"{_commits(done)}; try: {log}"
            case "branch":
                done = _branch(reader, to, number)
                return done, f"{_commits(done)}; read {done.folder / done.files[1]}"
            case "html":
                done = as_page(reader, to)
                return done, f"open {done.folder / done.files[0]}"
            case "source":
                done = _source(reader, to, options)
                return done, f"{chosen(reader.state, number)}: {', '.join(done.files)}"
            case "torch":
                backward = _backward(options)
                done = as_torch(reader, to, number, _deployment(reader, options), backward)
                return (
                    done,
                    f"{chosen(reader.state, number)}; install it with: pip install {done.folder}",
                )
            case "hf-kernel":
                done = as_hf_kernel(reader, to, number, _deployment(reader, options))
                how = f"kernels.get_local_kernel(pathlib.Path({str(done.folder)!r}))"
                return done, f"{chosen(reader.state, number)}; load it with: {how}"
            case _:
                done = _recording(reader, to)
                path = done.folder / done.files[0]
                return done, f"play it with: avo run --recording {path}"
    except EvaluatorError as error:
        raise ExportError(str(error)) from error


def _source(reader: SessionReader, to: Path, options: ExportOptions) -> Exported:
    task, name = reader.state.session.task, options.function
    if options.domain is not None:
        raise ExportError(
            "--domain: the launches in a source are written out for single shapes, and --shape adds"
            " one; a package works them out for every size of a domain: --as torch"
        )
    candidate = reader.candidate(version_of(reader.state, options.version).candidate)
    source = asyncio.run(write_source(task.name, candidate, _request(options), name))
    if name and not re.search(rf"\b{re.escape(name)}", source.text):
        raise ExportError(
            f"--function {name}: the source of a kernel in {task.language} keeps the names of its"
            " functions; leave --function out, or rename them in the file"
        )
    return as_source(reader, to, options.version, source)


def _recording(reader: SessionReader, to: Path) -> Exported:
    """The agent's conversation, in the form that `avo run --recording` plays."""
    session = reader.state.session
    recording = from_events(
        session.task.name,
        reader.events(),
        reader.get,
        title=session.name,
        about=f"The conversation of session {session.name}, as it was recorded.",
    )
    with new_folder(to) as folder:
        write(folder, RECORDING, recording.model_dump_json(indent=1) + "\n")
    return Exported(folder=to, files=(RECORDING,), versions=tuple(sorted(reader.state.versions)))


def _deployment(reader: SessionReader, options: ExportOptions) -> Deployment:
    """The version's kernel compiled for what was asked."""
    candidate = reader.candidate(version_of(reader.state, options.version).candidate)
    task, request = reader.state.session.task.name, _request(options)
    deployment = asyncio.run(deploy(task, candidate, request))
    return deployment.model_copy(update={"function": options.function or deployment.function})


def _backward(options: ExportOptions) -> Backward | None:
    if options.backward is None:
        return None
    own = ExportOptions(architectures=options.architectures)
    version = version_of(options.backward.state, None)
    return Backward(options.backward, version, _deployment(options.backward, own))


def _request(options: ExportOptions) -> DeploymentRequest:
    name = options.function
    if name and (not name.isidentifier() or keyword.iskeyword(name)):
        raise ExportError(f"{name!r} is no name that a language takes for a function")
    shapes = [_shape(text) for text in options.shapes]
    return DeploymentRequest(
        architectures=options.architectures, shapes=shapes, domain=options.domain
    )


def _shape(text: str) -> dict[str, str]:
    shape = {}
    for part in text.split(","):
        name, _, value = (piece.strip() for piece in part.partition("="))
        if not (name and value):
            raise ExportError(f"--shape {text!r} is not of the form name=value,name=value")
        shape[name] = value
    return shape


def _commits(done: Exported) -> str:
    return f"{len(done.versions)} commit{'s' if len(done.versions) != 1 else ''}"


def _branch(reader: SessionReader, to: Path, number: int | None) -> Exported:
    """Proves a repository's best line from nothing, then writes it as a branch."""
    session = reader.state.session
    if not session.task.tree:
        raise ExportError(
            f"{session.name} is about a kernel: --as branch is for repositories; --as git exports"
            " the lineage"
        )
    task = find_tasks().get(session.task.name)
    assert isinstance(task, RepositoryTask)
    if str(task.base.tree) != session.task.tree:
        raise ExportError(
            f"{task.folder}/avo.toml names another base than {session.name} began with; put the"
            " line back to export this session"
        )
    commit, prefix = checkout(task.folder, task.project.project.base)

    def proof(candidate: Candidate) -> Proof:
        try:
            return asyncio.run(prove(task, candidate, Sandbox()))
        except Rejected as rejection:
            raise ExportError(
                f"the branch does not hold from nothing: {rejection.verdict}:"
                f" {rejection.feedback.summary}"
            ) from rejection

    origin = Origin(folder=task.folder, commit=commit, prefix=prefix)
    return as_branch(reader, to, number, origin, proof)
