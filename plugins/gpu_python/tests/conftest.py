"""Tests marked `gpu` run where there is a GPU."""

from tests.evaluation.cuda.conftest import pytest_collection_modifyitems

__all__ = ["pytest_collection_modifyitems"]
