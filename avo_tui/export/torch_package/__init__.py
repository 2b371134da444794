"""A version's kernel as a Python package with a custom operator of torch.

An installable project, or the layout that `kernels` loads. `templates/` holds the files that go
into every package as they are; the launcher comes from the backend, with the deployment. They
import torch and are never imported by avo-tui itself.
"""

from __future__ import annotations

import json
import keyword
import re
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


def as_torch(
    reader: SessionReader, target: Path, number: int | None, deployment: Deployment
) -> Exported:
    """An installable project with one package. Raises ExportError."""
    version = version_of(reader.state, number)
    package = package_name(reader.state.session.name)
    beside = {"pyproject.toml": _pyproject(reader, version, package, deployment)}
    if deployment.build is not None:
        beside["setup.py"] = _setup(package, deployment.build)
        if deployment.build.command:
            form = deployment.build.model_dump(include={"command", "compiler_variable"})
            beside["build.json"] = json.dumps(form, indent=1) + "\n"
    return _exported(reader, target, version, f"src/{package}", deployment, beside)


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
) -> Exported:
    """The package in the folder `inner`, its README, and the files `beside` it."""
    package = package_name(reader.state.session.name)
    with new_folder(target) as folder:
        files = _package(folder, inner, reader, version, package, deployment)
        for name, text in beside.items():
            write(folder, name, text)
        write(folder, "README.md", _readme(reader, version, inner, deployment))
    named = ("README.md", next(iter(beside)), *files)
    return Exported(folder=target, files=named, versions=(version.number,))


def _package(
    folder: Path,
    inner: str,
    reader: SessionReader,
    version: Version,
    package: str,
    deployment: Deployment,
) -> list[str]:
    """Writes the package's own folder; its files that matter, relative to the export."""
    chosen = settings(deployment.shapes)
    facts: dict[str, Any] = {
        "package": package,
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
    }
    for name in ("operator_of.py", "selftest.py", "benchmark.py"):
        text = (TEMPLATES / name).read_text(encoding="utf-8")
        write(folder, f"{inner}/{name}", text.replace("PACKAGE", package))
    write(folder, f"{inner}/launch.py", deployment.launcher)
    write(folder, f"{inner}/__init__.py", _init(deployment, chosen, version))
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


def _init(deployment: Deployment, chosen: tuple[Setting, ...], version: Version) -> str:
    first = deployment.shapes[0]
    parameters, arguments = _signature(first, chosen)
    result = "torch.Tensor"
    if len(first.outputs) > 1:
        result = f"tuple[{', '.join('torch.Tensor' for _ in first.outputs)}]"
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
    """Run the kernel on contiguous tensors on one device; forward only.

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
{package} = ["launches.json", "score.json", "sample.pt", "files/*", "source/**/*"]
"""


def _setup(package: str, build: Build) -> str:
    if build.command:
        text = (TEMPLATES / "setup_command.py").read_text(encoding="utf-8")
        return text.replace("PACKAGE", package)
    sources = [f"src/{package}/source/{name}" for name in build.sources]
    flags = list(build.flags)
    link = [flag for flag in flags if flag == "-fopenmp"] + list(build.link)
    return f'''"""Compiles the kernel for this processor, with the flags it was measured with."""

from setuptools import Extension, setup

setup(
    ext_modules=[
        Extension(
            "{package}._kernel",
            sources={sources!r},
            include_dirs=["src/{package}/source"],
            extra_compile_args={flags!r},
            extra_link_args={link!r},
            language={build.language!r},
        )
    ]
)
'''


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


def _readme(reader: SessionReader, version: Version, inner: str, deployment: Deployment) -> str:
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
    unchecked = [s.name for s in deployment.shapes if not s.checked]
    parts = [
        f"# {package}: {safe(session.task.title)}",
        f"v{version.number} of the session {session.name}, as an operator of torch:",
        f"```python\n{taken}\nout = {function}({given})\n```",
        f"Needs {needs}. The operator is `torch.ops.{package}.{function}`; it"
        " has a fake implementation, so it works under `torch.compile`, and on a GPU it can be"
        " captured in a CUDA graph. Forward only: a backward pass raises.",
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
        f"Measured {version.created:%Y-%m-%d} on {safe(version.device) or 'a machine not named'},"
        " each configuration beside its baselines in the same run. `source/` has the kernel,"
        " `score.json` where it comes from.",
    ]
    return "\n\n".join(parts) + "\n"
