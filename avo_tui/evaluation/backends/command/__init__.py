"""Repositories as candidates: built, tested and measured by commands of their own."""
