"""Files of numbers are close to each other, or it is said where they are not."""

import io
import json
import struct
from typing import Any

import numpy as np
import pytest

from avo_tui.evaluation.backends.command.checking import apart


def file_of(name: str, array: Any) -> bytes:
    """The array as such a file."""
    file = io.BytesIO()
    if name.endswith(".npy"):
        np.save(file, array)
    elif name.endswith(".npz"):
        np.savez(file, w=array)
    elif name.endswith(".csv"):
        np.savetxt(file, array, delimiter=",")
    else:
        data = array.astype("<f4").tobytes()
        facts = {"dtype": "F32", "shape": array.shape, "data_offsets": [0, len(data)]}
        header = json.dumps({"__metadata__": {}, "w": facts}).encode()
        return bytes(struct.pack("<Q", len(header)) + header + data)
    return file.getvalue()


@pytest.mark.parametrize("name", ["a.npy", "a.npz", "a.csv", "a.safetensors"])
def test_numbers_are_compared_with_a_tolerance(name: str) -> None:
    wanted = np.array([[1.0, np.nan], [3.0, 4.0]])
    expected = file_of(name, wanted)
    assert apart(name, expected, file_of(name, wanted + 1e-7), 1e-5, 1e-8) == ""
    assert "off by up to 0.5" in apart(name, expected, file_of(name, wanted + 0.5), 1e-5, 1e-8)


def test_other_shapes_and_types_are_said() -> None:
    expected = file_of("a.npy", np.zeros((2, 3)))
    assert "[3, 2] of float64, not [2, 3]" in apart(
        "a.npy", expected, file_of("a.npy", np.zeros((3, 2))), 1, 1
    )
    assert "of int64, not" in apart(
        "a.npy", expected, file_of("a.npy", np.zeros((2, 3), int)), 1, 1
    )


def test_half_of_a_float_is_read() -> None:
    def file(upper: int) -> bytes:
        header = b'{"w": {"dtype": "BF16", "shape": [1], "data_offsets": [0, 2]}}'
        return struct.pack("<Q", len(header)) + header + struct.pack("<H", upper)

    assert "off by up to 1" in apart("a.safetensors", file(0x3F80), file(0x4000), 0, 0)


@pytest.mark.parametrize("data", [b"", b"\x93NUMPY", b"abc", b"\x93NUMPY\x01\x00\x10\x00{'descr'"])
@pytest.mark.parametrize("name", ["a.npy", "a.npz", "a.safetensors", "a.csv"])
def test_what_is_no_such_file_is_a_sentence(name: str, data: bytes) -> None:
    expected = file_of(name, np.zeros((2, 3)))
    assert apart(name, expected, data, 1, 1)
