"""Files of numbers are read as the library that writes them reads them."""

from __future__ import annotations

import io
import json
import struct

import numpy as np
import pytest

from avo_tui.evaluation.backends.command.number_file import tensors


@pytest.mark.parametrize("dtype", ["f8", "f4", "f2", "i8", "i4", "u1", "?"])
@pytest.mark.parametrize("turned", [False, True])
def test_npy_is_read_as_numpy_reads_it(dtype: str, turned: bool) -> None:
    array = np.arange(24).reshape(2, 3, 4).astype(dtype)
    array = array.T if turned else array
    file = io.BytesIO()
    np.save(file, array)
    assert tensors("a.npy", file.getvalue())["a.npy"].tolist() == array.tolist()


def test_npz_and_safetensors_keep_their_names() -> None:
    file = io.BytesIO()
    np.savez(file, x=np.array([1.5, 2.5]), y=np.zeros((0, 2)))
    read = tensors("a.npz", file.getvalue())
    assert read["x"].tolist() == [1.5, 2.5] and list(read["y"].shape) == [0, 2]
    header = json.dumps({"w": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}).encode()
    data = struct.pack("<Q", len(header)) + header + struct.pack("<2f", 0.5, -1)
    assert tensors("a.safetensors", data)["w"].tolist() == [0.5, -1.0]


@pytest.mark.parametrize("data", [b"", b"\x93NUMPY", b"abc", b"\x93NUMPY\x01\x00\x10\x00{'descr'"])
def test_what_is_no_such_file_is_a_sentence(data: bytes) -> None:
    with pytest.raises(ValueError, match="no numbers can be read"):
        tensors("a.npy", data)
