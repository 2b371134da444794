"""What needs no CuTe DSL: how types are laid out, and which bytes of a parameter are addresses."""

from __future__ import annotations

import struct

import pytest
from avo_tui_gpu_python import recording
from avo_tui_gpu_python.cute import host_types, recorder

BUFFERS = [("x", 64), ("y", 64), ("", recorder.MOST_WORKSPACES << recorder.WORKSPACE_BITS)]


@pytest.mark.parametrize(
    ("text", "size", "align"),
    [
        ("i1", 1, 1),
        ("i32", 4, 4),
        ("!llvm.ptr<1>", 8, 8),
        ("!llvm.struct<(ptr<1>, struct<(struct<()>, struct<()>)>)>", 8, 8),
        ("!llvm.struct<(i32, array<4 x i8>, array<64 x i8>)>", 72, 4),
        ("!llvm.struct<(array<3 x i32>, array<3 x i32>, i64, ptr, ptr, i32)>", 56, 8),
        ("!llvm.struct<packed (i8, i32)>", 5, 1),
        ('!llvm.struct<"named", (i8, i32)>', 8, 4),
        ("!llvm.array<17 x struct<(i32, array<4 x i8>)>>", 136, 4),
        ("vector<4xi32>", 16, 4),
    ],
)
def test_types_are_laid_out_as_in_c(text: str, size: int, align: int) -> None:
    kind = host_types.type_of(text)
    assert (kind.size, kind.align) == (size, align)


@pytest.mark.parametrize("text", ["i8, i8>", "!llvm.struct<(i8", "!llvm.token", "tensor<4xf32>"])
def test_what_is_no_type_of_host_code_is_refused(text: str) -> None:
    with pytest.raises(host_types.CandidateError, match=r"of the host code|host code has a value"):
        host_types._TypeText(text.replace("i8, ", "<")).read()


def both(*words: tuple[int, int] | int) -> tuple[bytes, bytes]:
    """A parameter in the first and second run; (buffer, offset) is an address, a number itself."""

    def data(which: int) -> bytes:
        return b"".join(
            struct.pack("<Q", w if isinstance(w, int) else recorder._address(w[0], which) + w[1])
            for w in words
        )

    return data(0), data(1)


def test_addresses_are_told_from_numbers() -> None:
    # The number is what an address in the first run looks like; it does not move.
    parameter = recorder._argument(*both((1, 16), recorder._address(0, 0), (0, 0)), BUFFERS)
    assert parameter["addresses"] == [
        {"at": 0, "buffer": "y", "value": 16},
        {"at": 16, "buffer": "x", "value": 0},
    ]
    number = struct.pack("<Q", recorder._address(0, 0))
    assert bytes.fromhex(parameter["data"]) == bytes(8) + number + bytes(8)


def test_an_address_behind_the_arena_s_beginning_is_a_workspace() -> None:
    parameter = recorder._argument(*both((2, (3 << recorder.WORKSPACE_BITS) + 40)), BUFFERS)
    assert parameter["addresses"] == [{"at": 0, "buffer": "workspace_3", "value": 40}]


def test_no_two_buffers_move_alike() -> None:
    moves = [recorder._address(n, 1) - recorder._address(n, 0) for n in range(64)]
    assert len(set(moves)) == 64
    highest = recorder._address(64, 1)
    assert highest < 1 << 53, "an address has at most 57 bits, and tensor maps keep these"


@pytest.mark.parametrize(
    ("first", "second"),
    [
        # Twice an address; two addresses added; four bytes of one.
        (
            struct.pack("<Q", 2 * recorder._address(0, 0)),
            struct.pack("<Q", 2 * recorder._address(0, 1)),
        ),
        (
            struct.pack("<Q", recorder._address(0, 0) + recorder._address(1, 0)),
            struct.pack("<Q", recorder._address(0, 1) + recorder._address(1, 1)),
        ),
        (
            struct.pack("<I", recorder._address(1, 0) & 0xFFFFFFFF),
            struct.pack("<I", recorder._address(1, 1) & 0xFFFFFFFF),
        ),
    ],
)
def test_what_is_computed_from_an_address_is_refused(first: bytes, second: bytes) -> None:
    with pytest.raises(recorder.CandidateError, match="computes with the address of a tensor"):
        recorder._argument(first, second, BUFFERS)


@pytest.mark.parametrize("offset", [-8, 64])
def test_an_address_outside_its_tensor_is_refused(offset: int) -> None:
    with pytest.raises(recorder.CandidateError, match="a pointer begins outside x"):
        recorder._argument(*both((0, offset)), BUFFERS)


def test_parameters_of_an_entry_are_measured() -> None:
    ptx = """\
.visible .entry kernel_cutlass_f_0(
\t.param .align 8 .b8 kernel_cutlass_f_0_param_0[8],
\t.param .align 64 .b8 kernel_cutlass_f_0_param_1[128],
\t.param .u64 .ptr .align 1 kernel_cutlass_f_0_param_2,
\t.param .f32 kernel_cutlass_f_0_param_3
)
.reqntid 128, 1, 1
{ ret; }
.visible .entry g() { ret; }
"""
    sizes = {name: recorder._sizes(params) for name, params in recorder._ENTRY.findall(ptx)}
    assert sizes == {"kernel_cutlass_f_0": [8, 128, 8, 4], "g": []}


def test_what_host_code_may_not_do_is_told_without_the_name_of_a_class() -> None:
    error = host_types.CandidateError("launch divides by zero")
    told = recording._trouble(error, recorder)
    assert told == {"error": "launch divides by zero", "log": "launch divides by zero"}
