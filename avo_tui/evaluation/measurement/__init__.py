"""Rules for judging and timing candidates, defined once for all backends.

This package knows no backend, language or problem. A backend compiles, launches and takes samples;
this package decides what samples and outputs mean.
"""

VERSION = "2"
"""Part of the conditions of every report: raised when judging or timing changes so that scores
from before and after are not comparable."""
