"""f: compile, check and benchmark candidates. Imports torch only where a worker needs it."""
