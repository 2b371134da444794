"""Exports of a session: as a git repository, a report page or a kernel.

An export reads the session folder and writes a new one; the session itself is never changed.
"""
