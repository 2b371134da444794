"""One backend per language: how candidates are compiled, checked and timed."""
