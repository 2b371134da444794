"""From a candidate to a version: evaluations with their records, and the acceptance gate."""
