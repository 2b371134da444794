"""Paths and marks that the evaluator's tests share."""

import shutil
from pathlib import Path

import pytest

TASKS = Path(__file__).parent / "tasks"
CUDA_TASKS = Path(__file__).parent / "cuda" / "tasks"
CANDIDATES = Path(__file__).parent / "candidates" / "cpp"

needs_compiler = pytest.mark.skipif(
    shutil.which("g++") is None and shutil.which("clang++") is None, reason="no C++ compiler"
)
