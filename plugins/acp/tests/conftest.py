"""Laboratories, as the tests of the engine have them."""

from tests.evolution.conftest import make_lab, prompt_engines

__all__ = ["make_lab", "prompt_engines"]
