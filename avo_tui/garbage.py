"""Holds Python's garbage collector back while the program starts.

Nearly all objects made while modules are imported stay until the end; looking through them again
and again for garbage takes 7% of a start.
"""

from __future__ import annotations

import gc


def hold() -> None:
    """Collect no garbage until `release`."""
    gc.disable()


def release() -> None:
    """Collect garbage again, if it was held, and leave out the objects that there are by now.

    Leaving them out makes later collections shorter: a screen that is painted does not wait for
    them. Reference counting frees them as before.
    """
    if not gc.isenabled():
        gc.freeze()
        gc.enable()
