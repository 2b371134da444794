"""How a candidate becomes a version: it is evaluated, recorded and judged by the acceptance
gate."""
