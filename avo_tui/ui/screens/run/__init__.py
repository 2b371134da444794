"""The live view of one session."""
