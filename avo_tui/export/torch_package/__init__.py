"""A version's kernel as a Python package with a custom operator of torch.

An installable project, or the layout that `kernels` loads. `templates/` holds the files that go
into every package as they are; the launcher comes from the backend, with the deployment. They
import torch and are never imported by avo-tui itself.
"""

from __future__ import annotations

import json
import keyword
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from avo_tui.domain.deployment import (
    Build,
    DeployedShape,
    Deployment,
    Domain,
    Setting,
    least_greatest_step,
    settings,
)
from avo_tui.domain.plain import safe
from avo_tui.domain.records import Version
from avo_tui.export.folder import Exported, ExportError, new_folder, write, write_bytes
from avo_tui.export.json_documents import version_form
from avo_tui.export.kernel import score_table, version_of
from avo_tui.store import SessionReader


def package_name(session: str) -> str:
    """A name that Python can import, such as `mha_hopper` for the session `mha-hopper`."""
    name = re.sub(r"[^a-z0-9]+", "_", session.lower()).strip("_") or "kernel"
    if name[0].isdigit() or keyword.iskeyword(name) or len(name) < 2:
        name = f"kernel_{name}"
    return name


TEMPLATES = Path(__file__).resolve().parent / "templates"


@dataclass(frozen=True)
class Backward:
    """The kernel of another session that computes the gradients."""

    reader: SessionReader
    version: Version
    deployment: Deployment


def as_torch(
    reader: SessionReader,
    target: Path,
    number: int | None,
    deployment: Deployment,
    backward: Backward | None = None,
) -> Exported:
    """An installable project with one package. Raises ExportError."""
    version = version_of(reader.state, number)
    package = package_name(reader.state.session.name)
    beside = {"pyproject.toml": _pyproject(reader, version, package, deployment)}
    if backward is not None:
        _agree(deployment, backward.deployment)
    if deployment.build is not None:
        builds = {package: deployment.build}
        if backward is not None and backward.deployment.build is not None:
            builds[f"{package}.backward"] = backward.deployment.build
        beside["setup.py"] = _setup(builds)
        if deployment.build.command:
            form = deployment.build.model_dump(include={"command", "compiler_variable"})
            beside["build.json"] = json.dumps(form, indent=1) + "\n"
    return _exported(reader, target, version, f"src/{package}", deployment, beside, backward)


def _agree(forward: Deployment, backward: Deployment) -> None:
    """Raises ExportError where a backward kernel does not fit: its inputs have to be the forward
    kernel's inputs and outputs and, with a `d` before the name, gradients of its outputs; its
    outputs gradients of the inputs."""
    shape, other = forward.shapes[0], backward.shapes[0]
    outputs = {t.name: t.dtype for t in shape.outputs}
    inputs = {t.name: t.dtype for t in shape.inputs}
    known = inputs | outputs | {f"d{name}": dtype for name, dtype in outputs.items()}
    for tensor in other.inputs:
        if known.get(tensor.name) != tensor.dtype:
            raise ExportError(
                f"--backward: its input {tensor.name} ({tensor.dtype}) is nothing that the forward"
                " kernel takes or gives, nor with a `d` before its name the gradient of that: "
                + ", ".join(f"{name} ({dtype})" for name, dtype in known.items())
            )
    wanted = {f"d{name}": dtype for name, dtype in inputs.items()}
    for tensor in other.outputs:
        if wanted.get(tensor.name) != tensor.dtype:
            raise ExportError(
                f"--backward: its output {tensor.name} ({tensor.dtype}) is the gradient of no input"
                " of the forward kernel; that of q would be dq, of the same dtype"
            )
    taken, given = ({s.name for s in settings(d.shapes)} for d in (backward, forward))
    if not taken <= given or forward.device != backward.device:
        raise ExportError(
            "--backward: both kernels have to take the same settings, on the same kind of device"
        )
    if any(d.build is not None and d.build.command for d in (forward, backward)):
        raise ExportError(f"--backward: not for kernels in {forward.language}")


def as_hf_kernel(
    reader: SessionReader, target: Path, number: int | None, deployment: Deployment
) -> Exported:
    """The layout that Hugging Face's `kernels` loads: a build for torch and CUDA in which nothing
    depends on their versions. Raises ExportError."""
    if deployment.build:
        raise ExportError(
            f"kernels in {deployment.language} are compiled on installation, which the layout of "
            "`kernels` has no place for; use --as torch"
        )
    version = version_of(reader.state, number)
    package = package_name(reader.state.session.name)
    variant = "build/torch-cuda"
    architectures = sorted({name for shape in deployment.shapes for name in shape.launch})
    metadata = {
        "id": f"{package}_v{version.number}",
        "name": package.replace("_", "-"),  # the folder's, in which `kernels` allows no underscore
        "version": version.number,
        "license": "other",
        "python-depends": [],  # it knows no package for the driver: the README says what to install
        "backend": {"type": "cuda", "archs": [_capability(name) for name in architectures]},
    }
    beside = {f"{variant}/metadata.json": json.dumps(metadata, indent=2) + "\n"}
    return _exported(reader, target, version, f"{variant}/{package}", deployment, beside)


def _capability(architecture: str) -> str:
    """`sm_90a` as `9.0a`."""
    return re.sub(r"sm_(\d+)(\d)(\w?)", r"\1.\2\3", architecture)


def _exported(
    reader: SessionReader,
    target: Path,
    version: Version,
    inner: str,
    deployment: Deployment,
    beside: dict[str, str],
    backward: Backward | None = None,
) -> Exported:
    """The package in the folder `inner`, its README, and the files `beside` it."""
    package = package_name(reader.state.session.name)
    with new_folder(target) as folder:
        files = _package(folder, inner, reader, version, package, deployment, backward)
        if backward is not None:
            gradients, below = backward.deployment, f"{inner}/backward"
            module = f"{package}.backward"
            _package(folder, below, backward.reader, backward.version, module, gradients)
        for name, text in beside.items():
            write(folder, name, text)
        readme = _readme(reader, version, inner, deployment, backward)
        write(folder, "README.md", readme)
    named = ("README.md", next(iter(beside)), *files)
    return Exported(folder=target, files=named, versions=(version.number,))


def _package(
    folder: Path,
    inner: str,
    reader: SessionReader,
    version: Version,
    module: str,
    deployment: Deployment,
    backward: Backward | None = None,
) -> list[str]:
    """Writes the package's own folder; its files that matter, relative to the export."""
    chosen = settings(deployment.shapes)
    facts: dict[str, Any] = {
        "package": module.replace(".", "_"),
        "function": deployment.function,
        "task": reader.state.session.task.name,
        "session": reader.state.session.name,
        "version": version.number,
        "device": deployment.device,
        "sample_shape": deployment.sample_shape,
        "entry": deployment.build.entry if deployment.build else "",
        "settings": [s.model_dump() for s in chosen],
        "shapes": [s.model_dump(mode="json") for s in deployment.shapes],
        "domain": deployment.domain and deployment.domain.model_dump(mode="json"),
        "backward": backward is not None,
    }
    for name in ("operator_of.py", "selftest.py", "benchmark.py"):
        text = (TEMPLATES / name).read_text(encoding="utf-8")
        write(folder, f"{inner}/{name}", text.replace("PACKAGE", module))
    write(folder, f"{inner}/launch.py", deployment.launcher)
    write(folder, f"{inner}/__init__.py", _init(deployment, chosen, version, backward))
    write(folder, f"{inner}/launches.json", json.dumps(facts, ensure_ascii=False) + "\n")
    score = json.dumps(version_form(version), ensure_ascii=False, indent=2) + "\n"
    write(folder, f"{inner}/score.json", score)
    for name, text in reader.candidate(version.candidate).files.items():
        write(folder, f"{inner}/source/{name}", text)
    for name, text in (deployment.build.files if deployment.build else {}).items():
        write(folder, f"{inner}/source/{name}", text)
    for name, data in deployment.files.items():
        write_bytes(folder, f"{inner}/files/{name}", data)
    if deployment.sample:
        write_bytes(folder, f"{inner}/sample.pt", deployment.sample)
    return [f"{inner}/__init__.py", f"{inner}/launches.json"]


def _signature(shape: DeployedShape, chosen: tuple[Setting, ...]) -> tuple[str, str]:
    """(parameters of the Python function, arguments of the operator)."""
    names = [t.name for t in shape.inputs]
    parameters = [f"{name}: torch.Tensor" for name in names]
    if chosen:
        parameters.append("*")
    for setting in chosen:
        default = " = False" if setting.kind == "bool" else ""
        parameters.append(f"{setting.name}: {setting.kind}{default}")
    return ", ".join(parameters), ", ".join([*names, *(s.name for s in chosen)])


def _init(
    deployment: Deployment,
    chosen: tuple[Setting, ...],
    version: Version,
    backward: Backward | None,
) -> str:
    first = deployment.shapes[0]
    parameters, arguments = _signature(first, chosen)
    result, gradients = "torch.Tensor", "forward only"
    shown = [t.name for t in first.outputs]
    if backward is not None:
        taken = {t.name for t in backward.deployment.shapes[0].inputs}
        shown = [name for name in shown if f"d{name}" in taken]
        gradients = "differentiable"
    if len(shown) > 1:
        result = f"tuple[{', '.join('torch.Tensor' for _ in shown)}]"
    shapes = "\n".join(f"    {_shape_line(shape, chosen)}" for shape in deployment.shapes)
    name = deployment.function
    where = "It was checked on these shapes, and raises ValueError on others:"
    if deployment.domain is not None:
        lines = "\n".join(f"    {line}" for line in _domain_lines(deployment.domain))
        where = (
            f"It takes these sizes, and raises ValueError on others:\n\n{lines}\n\n    Scored on:"
        )
    return f'''"""{name}: v{version.number} of an evolved kernel, as an operator of torch."""

from __future__ import annotations

import torch

from .operator_of import call

__all__ = ["{name}"]


def {name}({parameters}) -> {result}:
    """Run the kernel on contiguous tensors on one device; {gradients}.

    {where}

{shapes}

    Raises TypeError for another dtype, RuntimeError on a device that it was not made for.
    """
    return call({arguments})
'''


def _shape_line(shape: DeployedShape, chosen: tuple[Setting, ...]) -> str:
    tensors = ", ".join(f"{t.name} {list(t.shape)} {t.dtype}" for t in shape.inputs)
    values = "".join(f", {s.name}={shape.parameters.get(s.name)}" for s in chosen)
    return f"{tensors}{values}" + ("" if shape.checked else "  (not checked by the harness)")


def _pyproject(
    reader: SessionReader, version: Version, package: str, deployment: Deployment
) -> str:
    requires = json.dumps(["torch>=2.5", *deployment.requires])
    title = safe(reader.state.session.task.title).replace('"', "'")
    return f"""[build-system]
requires = ["setuptools>=70"]
build-backend = "setuptools.build_meta"

[project]
name = "{package.replace("_", "-")}"
version = "0.{version.number}.0"
description = {json.dumps(f"{title}: v{version.number}, an evolved kernel")}
readme = "README.md"
requires-python = ">=3.10"
dependencies = {requires}

[tool.setuptools.packages.find]
where = ["src"]

[tool.setuptools.package-data]
"*" = ["launches.json", "score.json", "sample.pt", "files/*", "source/**/*"]
"""


def _setup(builds: dict[str, Build]) -> str:
    """`builds`: package → how its kernel is compiled; one with a command is alone."""
    first, build = next(iter(builds.items()))
    if build.command:
        text = (TEMPLATES / "setup_command.py").read_text(encoding="utf-8")
        return text.replace("PACKAGE", first)
    extensions = "".join(_extension(package, build) for package, build in builds.items())
    return f'''"""Compiles the kernel for this processor, with the flags it was measured with."""

from setuptools import Extension, setup

setup(
    ext_modules=[
{extensions}    ]
)
'''


def _extension(package: str, build: Build) -> str:
    inner = f"src/{package.replace('.', '/')}/source"
    sources = [f"{inner}/{name}" for name in build.sources]
    flags = list(build.flags)
    link = [flag for flag in flags if flag == "-fopenmp"] + list(build.link)
    return f"""        Extension(
            "{package}._kernel",
            sources={sources!r},
            include_dirs=["{inner}"],
            extra_compile_args={flags!r},
            extra_link_args={link!r},
            language={build.language!r},
        ),
"""


def _domain_lines(domain: Domain) -> list[str]:
    sizes = []
    for name, size in domain.sizes.items():
        least, greatest, step = least_greatest_step(size)
        multiples = f"a multiple of {step} " if step > 1 else ""
        sizes.append(f"{name} {multiples}from {least:,} to {greatest:,}")
    tensors = [
        f"{name} [{', '.join(map(str, dims))}]"
        for name, dims in (*domain.inputs.items(), *domain.outputs.items())
    ]
    return [", ".join(tensors), ", ".join(sizes), *(f"where {rule}" for rule in domain.where)]


def _where(deployment: Deployment, chosen: tuple[Setting, ...]) -> str:
    shapes = "\n".join(f"- `{s.name}`: {_shape_line(s, chosen)}" for s in deployment.shapes)
    if deployment.domain is None:
        return (
            "## Where it holds\n\nOn contiguous tensors of these shapes; on any other shape, dtype"
            f" or device it raises.\n\n{shapes}"
        )
    sizes = "\n".join(f"- {line}" for line in _domain_lines(deployment.domain))
    return (
        "## Where it holds\n\nOn contiguous tensors of these sizes; on any other, and on another"
        f" dtype or device, it raises.\n\n{sizes}\n\nThe launch of a size that was not called"
        " before is worked out at its first call; nothing is compiled. Checked and scored were,"
        f" among others:\n\n{shapes}"
    )


def _readme(
    reader: SessionReader,
    version: Version,
    inner: str,
    deployment: Deployment,
    backward: Backward | None,
) -> str:
    session, chosen = reader.state.session, settings(deployment.shapes)
    above, _, package = inner.rpartition("/")
    first, installed = deployment.shapes[0], above == "src"
    given = ", ".join(
        [t.name for t in first.inputs]
        + [f"{s.name}={first.parameters.get(s.name)!r}" for s in chosen]
    )
    function, path = deployment.function, "" if installed else f"PYTHONPATH={above} "
    needs, taken = deployment.needs, f"from {package} import {function}"
    if not installed:
        needs += "".join(f", and `pip install '{name}'`" for name in deployment.requires)
        taken = (
            "from pathlib import Path\n\nfrom kernels import get_local_kernel\n\n"
            f'{function} = get_local_kernel(Path("this/folder")).{function}'
        )
    gradients = "Forward only: a backward pass raises."
    if backward is not None:
        own, pair = f"{package}.backward", backward.reader.state.session.name
        gradients = (
            f"Gradients are v{backward.version.number}'s of the session {pair}:"
            f" `torch.ops.{package}_backward.{backward.deployment.function}`, with a test and a"
            f" benchmark of its own, `{path}python -m {own}.selftest` and `{own}.benchmark`."
        )
    unchecked = [s.name for s in deployment.shapes if not s.checked]
    parts = [
        f"# {package}: {safe(session.task.title)}",
        f"v{version.number} of the session {session.name}, as an operator of torch:",
        f"```python\n{taken}\nout = {function}({given})\n```",
        f"Needs {needs}. The operator is `torch.ops.{package}.{function}`; it"
        " has a fake implementation, so it works under `torch.compile`"
        f"{' and in CUDA graphs' if deployment.device != 'cpu' else ''}. {gradients}",
        _where(deployment, chosen),
    ]
    if unchecked:
        parts.append(
            f"{', '.join(unchecked)}: asked for when the package was made and never run by the"
            f" harness. `{path}python -m {package}.selftest` tries them."
        )
    parts += [
        f"## Try it\n\n    {path}python -m {package}.selftest\n"
        f"    {path}python -m {package}.benchmark",
        f"## As it was measured\n\n{score_table(version)}",
        *([] if backward is None else [f"The gradients:\n\n{score_table(backward.version)}"]),
        f"Measured {version.created:%Y-%m-%d} on {safe(version.device) or 'a machine not named'},"
        " each configuration beside its baselines in the same run. `source/` has the kernel,"
        " `score.json` where it comes from.",
    ]
    return "\n\n".join(parts) + "\n"
