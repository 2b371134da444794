"""Every code example of the built-in documents compiles; manifests resolve; C++ programs run."""

import importlib.util
import io
import os
import platform
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from avo_tui.knowledge.examples import Example, assemble, examples

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = ROOT / "knowledge"
ALL = examples(DOCUMENTS)
CUDA = [item for item in ALL if item.language == "cuda"]
CPP = [item for item in ALL if item.language == "cpp"]
MANIFESTS = [item for item in ALL if item.language == "toml"]


def label(example: Example) -> str:
    return f"{example.document}:{example.name}"


def test_examples_are_found_and_named_once() -> None:
    assert len(CUDA) > 30
    assert len(CPP) >= 4
    assert len(MANIFESTS) >= 5
    names = [item.name for item in ALL]
    assert len(names) == len(set(names))


def test_no_fence_escapes_the_compiler() -> None:
    for path in DOCUMENTS.glob("*.md"):
        fences = re.findall(r"^```(.*)$", path.read_text(encoding="utf-8"), re.M)
        assert len(fences) % 2 == 0, path
        opened = {fence.split()[0] if fence.split() else "" for fence in fences[::2]}
        assert opened <= {"cuda", "cpp", "toml"}, (path, opened)


def test_a_missing_part_is_noticed() -> None:
    alone = Example("x.md", 1, "a", "cuda", (), ("not-there",), "")
    with pytest.raises(KeyError, match="not-there"):
        assemble(alone, [alone])


def includes() -> list[str]:
    folders = [Path(entry) / "nvidia" / "cu13" / "include" for entry in sys.path]
    folders.append(Path(os.environ.get("CUDA_HOME", "/usr/local/cuda")) / "include")
    found = [str(folder) for folder in folders if (folder / "cuda_bf16.h").is_file()]
    return found or pytest.skip("CUDA's headers are not installed")


def compile_cuda(source: str, architecture: str) -> str:
    """The log of compiling to machine code. Raises when it fails."""
    core = pytest.importorskip("cuda.core")
    pytest.importorskip("cuda.bindings.nvrtc")
    # Without a kernel nothing would reach ptxas: emit the functions themselves.
    functions_only = "__global__" not in source
    if functions_only:
        source = source.replace("__forceinline__", "__noinline__")
    log = io.StringIO()
    options = core.ProgramOptions(
        arch=architecture,
        std="c++17",
        relocatable_device_code=functions_only,
        ptxas_options=["-v"],
        include_path=includes(),
    )
    core.Program(source, "c++", options).compile("cubin", logs=log)
    return log.getvalue()


@pytest.mark.parametrize("example", CUDA, ids=label)
def test_cuda_example_compiles(example: Example) -> None:
    log = compile_cuda(assemble(example, ALL), example.flags[0])
    assert "C7508" not in log
    if "__global__" in example.code:
        assert "wgmma.mma_async instructions are serialized" not in log
        spilled = re.findall(r"(\d+) bytes spill stores", log)
        assert spilled, log
        assert set(spilled) == {"0"}


def test_a_wrong_instruction_would_be_noticed() -> None:
    part = next(item for item in CUDA if item.name == "mbarrier")
    broken = assemble(part, ALL).replace("mbarrier.arrive.expect_tx", "mbarrier.arrive.expect_rx")
    with pytest.raises(Exception, match="expect_rx"):
        compile_cuda(broken, "sm_90a")


@pytest.mark.parametrize("example", CPP, ids=label)
def test_cpp_example_compiles_and_runs(example: Example, tmp_path: Path) -> None:
    if platform.machine() not in {"x86_64", "AMD64"} or shutil.which("g++") is None:
        pytest.skip("needs g++ on x86-64")
    source = tmp_path / "example.cpp"
    source.write_text(assemble(example, ALL))
    program = tmp_path / "example"
    runs = "int main" in example.code
    command = ["g++", "-std=c++17", "-O2", "-Wall", "-Wextra", "-Werror=uninitialized"]
    command += [*example.flags, str(source), "-o", str(program), *([] if runs else ["-c"])]
    built = subprocess.run(command, capture_output=True, text=True, timeout=400, check=False)
    assert built.returncode == 0, built.stderr
    if runs:
        done = subprocess.run([program], capture_output=True, text=True, timeout=400, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("example", MANIFESTS, ids=label)
def test_manifest_resolves_for_the_attention_tasks(example: Example) -> None:
    text = pytest.importorskip("avo_tui.evaluation.backends.cuda.manifest")
    plan = pytest.importorskip("avo_tui.evaluation.backends.cuda.resolve")
    manifest = text.parse(example.code)
    launches = pytest.importorskip("avo_tui.evaluation.backends.cuda.launch_plan")
    device = launches.DeviceFacts.of_architecture("sm_90a")
    for folder, class_ in (("mha_forward", "MhaForward"), ("gqa_forward", "GqaForward")):
        place = ROOT / "kernels" / folder / "task.py"
        spec = importlib.util.spec_from_file_location(f"example_{folder}", place)
        assert spec
        assert spec.loader
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        task = getattr(module, class_)()
        for configuration in task.configurations:
            resolved = plan.resolve(
                manifest,
                task.names(configuration),
                task.tensors(configuration),
                device,
                origin=plan.Origin(example.code, configuration=configuration.name),
            )
            assert resolved.stages


@pytest.mark.parametrize(
    ("manifest", "kernel"),
    [("manifest-plain", "mma-attention"), ("manifest-tma", "attention-kernel")],
)
def test_manifest_fits_its_kernel(manifest: str, kernel: str) -> None:
    text = pytest.importorskip("avo_tui.evaluation.backends.cuda.manifest")
    by_name = {item.name: item for item in ALL}
    parsed = text.parse(by_name[manifest].code)
    entry = parsed.stages[0].entry
    signature = re.search(rf"\b{entry}\((.*?)\)\s*\{{", by_name[kernel].code, re.S)
    assert signature
    assert len(parsed.kernels[entry].params) == signature[1].count(",") + 1


@pytest.mark.parametrize("name", ["attention-kernel", "mma-attention"])
def test_complete_kernels_compile_behind_the_harness_prelude(name: str) -> None:
    prelude = ROOT / "avo_tui/evaluation/backends/cuda/prelude/avo_prelude.h"
    example = next(item for item in CUDA if item.name == name)
    source = prelude.read_text(encoding="utf-8") + assemble(example, ALL)
    for causal in ("0", "1"):
        compile_cuda(f"#define CAUSAL {causal}\n{source}", "sm_90a")


def test_documents_link_only_to_what_is_there() -> None:
    for path in DOCUMENTS.glob("*.md"):
        for target in re.findall(r"\]\(([^)#\s]+\.md)\)", path.read_text(encoding="utf-8")):
            assert (DOCUMENTS / target).is_file(), (path.name, target)


def test_documents_state_their_sources() -> None:
    for path in DOCUMENTS.glob("*.md"):
        if path.name != "README.md":
            assert "\n## Sources\n" in path.read_text(encoding="utf-8"), path.name
