"""Widgets: each draws one thing from immutable values."""
