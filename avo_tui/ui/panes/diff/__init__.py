"""The difference of two candidates."""
