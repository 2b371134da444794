"""Candidates in CuTe DSL and in Triton, compiled without a GPU."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from avo_tui.domain.candidate import Candidate
from avo_tui.domain.questions import Window
from avo_tui.evaluation.backends.base import Context, Rejected
from avo_tui.evaluation.backends.cuda.backend import CudaBackend
from avo_tui.evaluation.backends.cuda.compiled import CudaCompiled
from avo_tui.evaluation.backends.descriptor import BackendOptions
from avo_tui.evaluation.backends.registry import make_backend
from avo_tui.evaluation.loading import load_task
from avo_tui.evaluation.sandbox.run import Sandbox
from avo_tui.evaluation.tasks import find_tasks, in_language
from plugins.gpu_python.tests import cute_kinds, triton_kinds
from tests.evaluation.evaluation_support import CUDA_TASKS

TINY = load_task(CUDA_TASKS / "attention_tiny")
CHANGES = {"cute": cute_kinds.CHANGES, "triton": triton_kinds.CHANGES}


def backend_of(language: str) -> CudaBackend:
    backend = make_backend(language, BackendOptions("sm_90a"))
    assert isinstance(backend, CudaBackend)
    return backend


def compiled(language: str, files: dict[str, str]) -> CudaCompiled:
    task, context = in_language(TINY, language), Context(Sandbox(), lambda _: None)
    return asyncio.run(backend_of(language).compile(task, Candidate(files=files), context))


def refused(language: str, text: str) -> Rejected:
    with pytest.raises(Rejected) as error:
        compiled(language, {"kernel.py": text})
    return error.value


def listing_without_hidden(language: str, kernels: CudaCompiled) -> str:
    """The disassembly that is told, of which nothing may be of a hidden configuration."""
    shown = [unit for unit in kernels.unit.units if not unit.hidden]
    public = {kernels.plans[name].variant for name in ("full", "causal", "small")}
    assert {v for unit in shown for v in unit.variants} == public
    context = Context(Sandbox(), lambda _: None)
    listing = asyncio.run(backend_of(language).disassemble(kernels, context, None, Window()))
    hidden = [str(unit.variants[0]) for unit in kernels.unit.units if unit.hidden]
    assert not any(f"specialisation={number}]" in listing for number in hidden)
    return listing


def candidate(language: str, kind: str) -> Candidate:
    """The seed of `mha_forward` in a language with the changes of a kind."""
    text = find_tasks().get(f"mha_forward@{language}").seed().files["attention.py"]
    for old, new in CHANGES[language][kind]:
        assert old in text, f"{kind}: the seed has no {old!r}"
        text = text.replace(old, new)
    return Candidate(files={"attention.py": text})


def write(language: str, folder: Path) -> None:
    """A folder with a candidate of each kind, as the suite reads them."""
    for kind in CHANGES[language]:
        (folder / kind).mkdir(parents=True, exist_ok=True)
        text = candidate(language, kind).files["attention.py"]
        (folder / kind / "attention.py").write_text(text, encoding="utf-8")
