"""The outcome of an evaluation: benchmark, checks, resources, log."""
