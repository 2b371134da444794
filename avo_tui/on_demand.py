"""Names of a package that are imported from its modules when they are first used.

A package that offers the names of many modules would load all of them for whoever needs one. With
`names`, `from avo_tui.store import SessionReader` loads what reading a session needs, and not what
writing or repairing one does. Such a package lists its names twice: as imports under
`TYPE_CHECKING`, for type checkers and editors, and by module for `names`; a test compares the two.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any


def names(package: str, modules: Mapping[str, tuple[str, ...]]) -> Callable[[str], Any]:
    """The module-level `__getattr__` of `package`.

    `modules` maps a module of the package to the names that it defines. No name may be that of a
    module of the package, because importing that module would replace it.
    """
    module_of = {name: module for module, names in modules.items() for name in names}

    def get(name: str) -> Any:
        module = module_of.get(name)
        if module is None:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        value = getattr(import_module(f"{package}.{module}"), name)
        setattr(sys.modules[package], name, value)  # the next use finds it without this function
        return value

    return get
