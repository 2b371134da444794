"""Runs untrusted commands without network or foreign files, with limits, and ends all their
processes."""
