"""Runs untrusted commands: no network, no foreign files, bounded, and ended as a whole tree."""
