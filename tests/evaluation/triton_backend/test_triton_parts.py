"""What needs no Triton: the checks of the compiler's reply, and PTX texts put together."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from avo_tui.evaluation.backends.cuda.launch_plan import DeviceFacts, TensorSpec
from avo_tui.evaluation.backends.triton.ptx import merged
from avo_tui.evaluation.backends.triton.reply import LaunchError, Run, keys, plan_of, read
from avo_tui.evaluation.languages import further_languages, in_language
from avo_tui.evaluation.loading import load_task

FACTS = DeviceFacts.of_architecture("sm_90a")
TENSORS = (
    TensorSpec(name="x", dtype="f32", shape=(8,)),
    TensorSpec(name="y", dtype="f32", shape=(8,), output=True),
)
LAUNCH: dict[str, object] = {
    "kernel": 0, "symbol": "f", "name": "f", "line": 3, "grid": [2, 1, 1], "warps": 4, "blocks": 2,
    "shared": 64, "cooperative": False, "programmatic": True,
    "arguments": [
        {"kind": "pointer", "buffer": "y", "value": 16},
        {"kind": "i64", "value": -1},
        {"kind": "f32", "value": 0.5},
    ],
}  # fmt: skip


def run(**changes: object) -> Run:
    spaces = changes.pop("workspaces", {})
    return Run.model_validate({"launches": [{**LAUNCH, **changes}], "workspaces": spaces})


def test_a_launch_in_numbers() -> None:
    plan = plan_of(run(), "kernel.py", TENSORS, FACTS)
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
        ({"grid": [1, 70_000, 1]}, "only its first may exceed 65535"),
        ({"arguments": []}, "no kernel is given the output 'y'"),
        ({"workspaces": {"x": {"bytes": 4}}}, "has the name of a tensor"),
        (
            {"workspaces": {f"w{n}": {"bytes": 1 << 30} for n in range(2)}},
            "all workspaces together exceed",
        ),
    ],
)
def test_what_no_device_can_do_is_refused(changes: dict[str, object], says: str) -> None:
    with pytest.raises(LaunchError, match=says):
        plan_of(run(**changes), "kernel.py", TENSORS, FACTS)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        '{"configurations": {"a": {"launches": [{}], "workspaces": {}}}}',
        json.dumps({"configurations": {"a": {"launches": [{**LAUNCH, "symbol": 'f"; exit'}]}}}),
        json.dumps({"configurations": {"a": {"launches": [{**LAUNCH, "grid": [0, 1, 1]}]}}}),
        json.dumps({"configurations": {"a": {"launches": [{**LAUNCH, "warps": 64}]}}}),
    ],
)
def test_a_reply_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(LaunchError, match="what is launched cannot be"):
        read(text)


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
    text, symbols = merged([(PTX % 1, "f"), (PTX % 2, "f")])
    assert symbols == ["f__0", "f__1"]
    for number in (0, 1):
        assert f".visible .entry f__{number}(" in text
        assert f"[global_smem__{number}]" in text
        assert f"text__{number}[2] = {{{number + 1}, 0}};" in text
    assert text.count(".version") == text.count(".extern .func") == 1
    assert "vprintf__" not in text and "unread" not in text and ".loc" not in text
    alone, symbols = merged([(PTX % 1, "f")])
    assert symbols == ["f"] and ".loc 1 2 3" in alone and "unread" not in alone


def test_a_task_in_a_further_language(tmp_path: Path) -> None:
    tiny = load_task(Path(__file__).parents[1] / "cuda" / "tasks" / "attention_tiny")
    variant = in_language(tiny, "triton")
    assert (variant.name, variant.language) == ("attention_tiny@triton", "triton")
    assert variant.folder == tiny.folder and variant.configurations == tiny.configurations
    assert "launch.toml" in tiny.description and "launch.toml" not in variant.description
    assert "@triton.jit" in variant.description
    for name in ("seed", "seed-triton", "seed-rust"):
        (tmp_path / name).mkdir()
    assert further_languages(tmp_path) == ["rust", "triton"]
