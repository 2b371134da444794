"""The check of `avo doctor` whether candidates can be isolated on this machine."""

from __future__ import annotations

from avo_tui.evaluation.finding import Finding
from avo_tui.evaluation.sandbox.isolation_level import Level
from avo_tui.evaluation.sandbox.policy import Isolation, SandboxError, bubblewrap
from avo_tui.evaluation.sandbox.run import HOW_TO_CONFINE, Sandbox


async def examine_sandbox(allow_weak: bool) -> Finding:
    """Reports what isolates candidates on this machine, and how to install what is missing."""
    offered: list[Level] = []
    refused: list[str] = []
    for kind in Isolation:
        if kind is Isolation.BUBBLEWRAP and bubblewrap() is None:
            refused.append("bubblewrap is not installed")
            continue
        try:
            offered.append(await Sandbox(allow_weak=True, isolation=kind).level())
        except SandboxError as error:
            refused.append(str(error))
    if not offered:
        text = f"{'; '.join(refused)}; {HOW_TO_CONFINE}"
        return Finding(name="sandbox", state="fail", text=text)
    best = offered[0]
    others = ", ".join(level.describe() for level in offered[1:])
    text = f"{best.describe()}, ready in {best.start_ms:.0f} ms"
    text += f"; also: {others}" if others else ""
    if best.confined:
        return Finding(name="sandbox", state="ok", text=text)
    text += f"; {best.warning} ({'; '.join(refused)}); {HOW_TO_CONFINE}"
    if allow_weak:
        return Finding(name="sandbox", state="warn", text=f"{text}; allowed by your settings")
    text += "; until then candidates run with --allow-weak-sandbox only"
    return Finding(name="sandbox", state="fail", text=text)
