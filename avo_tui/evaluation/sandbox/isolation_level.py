"""How well this machine can confine a candidate."""

from __future__ import annotations

from dataclasses import dataclass

from avo_tui.evaluation.sandbox.policy import Isolation

LANDLOCK_ENOUGH = 4
"""The first Landlock ABI (Linux 6.7) that covers reading, writing, truncating and TCP."""


@dataclass(frozen=True)
class Level:
    """The isolation available on this machine."""

    isolation: Isolation
    landlock: int
    seccomp: bool
    user: str
    start_ms: float
    """Milliseconds that an empty command takes from start to end."""

    @property
    def gaps(self) -> tuple[str, ...]:
        """The kinds of isolation missing on this machine; empty if candidates are fully
        confined."""
        if self.isolation is not Isolation.PROCESSES:
            return ()
        missing = []
        if self.landlock < LANDLOCK_ENOUGH:
            missing.append("reading and changing the user's files")
        if not self.seccomp:
            missing.append("reaching the network and other processes")
        return tuple(missing)

    @property
    def confined(self) -> bool:
        """True if files, network and other processes are protected and all processes can be
        ended."""
        return not self.gaps

    @property
    def warning(self) -> str:
        """One sentence for every screen and record where the sandbox is weak, else empty."""
        if self.confined:
            return ""
        return f"weak sandbox: nothing keeps a candidate from {' or '.join(self.gaps)}"

    def describe(self) -> str:
        """Such as `namespaces + landlock 7 + seccomp + limits`; says so where it is weak."""
        parts = [] if self.isolation is Isolation.PROCESSES else [str(self.isolation)]
        if self.landlock:
            parts.append(f"landlock {self.landlock}")
        if self.seccomp:
            parts.append("seccomp")
        return " + ".join([*parts, "limits"]) + ("" if self.confined else " (weak)")
