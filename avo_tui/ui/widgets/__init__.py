"""Widgets: each displays immutable values."""
