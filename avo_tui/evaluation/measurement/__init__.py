"""How candidates are judged and timed: one definition of each rule, for every backend.

Nothing here knows a backend, a language or a problem. A backend compiles, launches and takes
samples; what the samples and outputs mean is decided here.
"""

VERSION = "2"
"""Part of the conditions of every report: raised when judging or timing changes so that scores
from before and after are not comparable."""
