"""What a wheel and an sdist hold: the files that git tracks, or those an sdist lists, and no other.

A checkout also holds what is a person's own: sessions, tasks, notes, keys. To pack a whole folder
would be to publish them.
"""

from __future__ import annotations

import subprocess
from pathlib import Path, PurePosixPath
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

LIST = "MANIFEST"  # in an sdist: its files, one a line

# Folders of the project that an installation has in its data folder.
SHIPPED = ("docs", "kernels", "knowledge", "sessions")


class TrackedFiles(BuildHookInterface):
    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if version == "editable":
            return
        root = Path(self.root)
        files = [name for name in listed(root) if (root / name).is_file()]
        packed = build_data.setdefault("force_include", {})
        packed.clear()
        if self.target_name == "wheel":
            for name in files:
                top = PurePosixPath(name).parts[0]
                if top == "avo_tui":
                    packed[name] = name
                elif top in SHIPPED:
                    packed[name] = f"avo_tui/data/{name}"
            return
        manifest = Path(self.directory) / f".{LIST}"
        manifest.write_text("".join(f"{name}\n" for name in files), encoding="utf-8")
        packed.update({name: name for name in files})
        packed[str(manifest)] = LIST

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        (Path(self.directory) / f".{LIST}").unlink(missing_ok=True)


def listed(root: Path) -> list[str]:
    """The project's files, relative to its root. Raises RuntimeError if nothing tells them."""
    if (root / ".git").exists():
        changed = git(root, "diff", "--name-only", "-z", "HEAD", "--", "sessions")
        if changed:
            raise RuntimeError(
                f"{changed[0]} is not as it was committed, and may hold what is private: commit "
                "the change, or undo it with `git restore sessions`"
            )
        return git(root, "ls-files", "-z")
    if (root / LIST).is_file():
        return (root / LIST).read_text(encoding="utf-8").splitlines()
    raise RuntimeError(
        f"{root} has neither .git nor {LIST}, so nothing tells which files are the project's: "
        "build from a git clone or from an sdist, or install the folder with `pip install -e .`"
    )


def git(root: Path, *arguments: str) -> list[str]:
    """The names that a git command prints; a clone of another user's is read too, without its
    settings that name programs."""
    command = ["git", "-c", "safe.directory=*", "-c", "core.fsmonitor=false", "-C", str(root)]
    try:
        ended = subprocess.run([*command, *arguments], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise RuntimeError("packing needs git, which tells which files are the project's") from None
    if ended.returncode:
        raise RuntimeError(f"git could not tell the project's files: {ended.stderr.strip()}")
    return [name for name in ended.stdout.split("\0") if name]
