"""What needs no Triton: the checks of the compiler's reply, and PTX texts put together."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from avo_tui_gpu_python.ptx import merged
from avo_tui_gpu_python.reply import LaunchError, Run, keys, plan_of, read

from avo_tui.evaluation.backends.cuda.launch_plan import DeviceFacts, TensorSpec
from avo_tui.evaluation.loading import load_task
from avo_tui.evaluation.tasks import further_languages, in_language
from tests.evaluation.evaluation_support import CUDA_TASKS

FACTS = DeviceFacts.of_architecture("sm_90a")
TENSORS = (
    TensorSpec(name="x", dtype="f32", shape=(8,)),
    TensorSpec(name="y", dtype="f32", shape=(8,), output=True),
)
LAUNCH: dict[str, object] = {
    "kernel": 0, "symbol": "f", "name": "f", "line": 3, "grid": [4, 1, 1], "block": [128, 1, 1],
    "cluster": [2, 1, 1], "shared": 64, "cooperative": False, "programmatic": True,
    "arguments": [
        {"kind": "pointer", "buffer": "y", "value": 16},
        {"kind": "i64", "value": -1},
        {"kind": "f32", "value": 0.5},
    ],
}  # fmt: skip
FAR = {"at": 1, "buffer": "y", "value": 32}


def run(**changes: object) -> Run:
    spaces = changes.pop("workspaces", {})
    return Run.model_validate({"launches": [{**LAUNCH, **changes}], "workspaces": spaces})


def test_a_launch_in_numbers() -> None:
    plan = plan_of(run(), "kernel.py", TENSORS, FACTS, 8)
    (stage,) = plan.stages
    assert (stage.grid, stage.block, stage.cluster) == ((4, 1, 1), (128, 1, 1), (2, 1, 1))
    assert [(p.kind, p.value, p.buffer) for p in stage.params] == [
        ("pointer", 16, "y"), ("i64", -1, ""), ("f32", 0.5, ""),
    ]  # fmt: skip
    assert not stage.programmatic, "the first launch has none before it"
    assert stage.path == "kernel.py:3"


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"arguments": [{"kind": "pointer", "buffer": "z"}]}, "there is no tensor 'z'"),
        ({"arguments": [{"kind": "pointer", "buffer": "y", "value": 32}]}, "begins outside y"),
        ({"arguments": [{"kind": "pointer", "buffer": "y", "value": -1}]}, "begins outside y"),
        ({"arguments": [{"kind": "i32", "value": 1 << 31}]}, "does not fit i32"),
        ({"arguments": [{"kind": "i32", "value": 0.5}]}, "is no whole number"),
        ({"shared": 300_000}, "needs 300000 bytes of shared memory; a block can have 232448"),
        ({"grid": [2, 70_000, 1]}, "only its first may exceed 65535"),
        ({"grid": [3, 1, 1]}, r"clusters of \[2, 1, 1\] blocks do not divide"),
        ({"cluster": [32, 1, 1]}, "has 32 blocks; it can have 16"),
        ({"block": [64, 32, 1]}, "has 2048 threads; it can have 1024"),
        (
            {"arguments": [{"kind": "bytes", "data": "00" * 8, "addresses": [FAR]}]},
            "reaches behind",
        ),
        (
            {"arguments": [{"kind": "bytes", "data": "00" * 9, "addresses": [FAR]}]},
            "begins outside y",
        ),
        ({"arguments": []}, "no kernel is given the output 'y'"),
        ({"arguments": [{"kind": "f32", "value": 10**400}]}, "does not fit f32"),
        ({"workspaces": {"x": {"bytes": 4}}}, "has the name of a tensor"),
        (
            {"workspaces": {f"w{n}": {"bytes": 1 << 30} for n in range(2)}},
            "all workspaces together exceed",
        ),
    ],
)
def test_what_no_device_can_do_is_refused(changes: dict[str, object], says: str) -> None:
    with pytest.raises(LaunchError, match=says):
        plan_of(run(**changes), "kernel.py", TENSORS, FACTS, 8)


def test_a_reply_cannot_launch_more_than_the_task_allows() -> None:
    """The recorder counts, too; but the candidate's Python can write the reply itself."""
    many = Run.model_validate({"launches": [LAUNCH] * 9})
    with pytest.raises(LaunchError, match="9 launches; this task allows 8"):
        plan_of(many, "kernel.py", TENSORS, FACTS, 8)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        '{"configurations": {"a": {"launches": [{}], "workspaces": {}}}}',
        json.dumps({"configurations": {"a": {"launches": [{**LAUNCH, "symbol": 'f"; exit'}]}}}),
        json.dumps({"configurations": {"a": {"launches": [{**LAUNCH, "grid": [0, 1, 1]}]}}}),
        json.dumps({"configurations": {"a": {"launches": [{**LAUNCH, "block": [0, 1, 1]}]}}}),
    ],
)
def test_a_reply_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(LaunchError, match="what is launched cannot be"):
        read(text)


def test_an_address_among_a_parameter_s_bytes() -> None:
    """As in a tensor map, whose first eight bytes are the address of its tensor."""
    given = {"kind": "bytes", "data": "00" * 8 + "ff" * 120}
    parameter = {**given, "addresses": [{"at": 0, "buffer": "y", "value": 16}]}
    plan = plan_of(run(arguments=[parameter]), "kernel.py", TENSORS, FACTS, 8)
    (param,) = plan.stages[0].params
    assert param.bytes == 128 and param.data == given["data"]
    assert [(a.at, a.buffer, a.value) for a in param.addresses] == [(0, "y", 16)]


def test_specialisations_of_one_function_are_numbered() -> None:
    one, other = run().launches[0], run(kernel=1).launches[0]
    assert keys([one]) == ["f"]
    assert keys([one, other, one]) == ["f#1", "f#2", "f#1"]


PTX = """\
.version 8.0
.target sm_90a
.address_size 64
.extern .func (.param .b32 r) vprintf(.param .b64 a, .param .b64 b)
;
.extern .shared .align 16 .b8 global_smem[];
.global .align 1 .b8 unread[2] = {1, 0};
.global .align 1 .b8 text[2] = {%d, 0};
.visible .entry f(.param .u64 .ptr f_param_0)
{
.file 1 "kernel.py"
.loc 1 2 3
ld.shared.b32 %%r1, [global_smem]; mov.u64 %%rd1, text; call vprintf, (f_param_0);
ret;
}
.section .debug_str { $L__info: }
"""


def test_names_that_modules_share_are_told_apart() -> None:
    text, renamed = merged([PTX % 1, PTX % 2])
    assert [names["f"] for names in renamed] == ["f__0", "f__1"]
    for number in (0, 1):
        assert f".visible .entry f__{number}(" in text
        assert f"[global_smem__{number}]" in text
        assert f"text__{number}[2] = {{{number + 1}, 0}};" in text
    assert text.count(".version") == text.count(".extern .func") == 1
    assert "vprintf__" not in text and "unread" not in text and ".loc" not in text
    alone, renamed = merged([PTX % 1])
    assert renamed == [{}] and ".loc 1 2 3" in alone and "unread" not in alone


def test_a_task_in_a_further_language(tmp_path: Path) -> None:
    tiny = load_task(CUDA_TASKS / "attention_tiny")
    variant = in_language(tiny, "triton")
    assert (variant.name, variant.language) == ("attention_tiny@triton", "triton")
    assert variant.folder == tiny.folder and variant.configurations == tiny.configurations
    assert "launch.toml" in tiny.description and "launch.toml" not in variant.description
    assert "@triton.jit" in variant.description
    for name in ("seed", "seed-triton", "seed-rust"):
        (tmp_path / name).mkdir()
    assert further_languages(tmp_path) == ["rust", "triton"]
