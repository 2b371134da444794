"""Triton candidates: their Python runs in the compiler's sandbox alone, which yields cubins."""
