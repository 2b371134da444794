"""The Triton backend: the candidate's Python runs only in the compiler's sandbox, which yields
cubins."""
