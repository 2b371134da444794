"""What stands for each of our signs where the terminal's locale has ASCII alone."""

from __future__ import annotations

from collections.abc import Mapping

TABLE = {
    ord(sign): plain
    for plain, signs in {
        ".": "·…", "x": "✕×", "-": "–−‑─━┈‖", "|": "│┊┃▏▎▍▌▐┤├", "+": "╭╮╰╯┌┐└┘┬┴┼±✚",
        ">": "→▸▶›»▷", "<": "‹", "o": "○◇△□", "*": "●★☆◆◈•", "@": "◷◌", "v": "✔▾↓",
        "^": "▲↑⇧↶↪", "#": "█■▀▄▆▇▅▋▊▉",
        "_": "▁▂▃", "=": "▔", "~": "≈", "'": "°‘’", '"': "“”", "!": "⚑", "/": "✎", "n": "☐",
    }.items()
    for sign in signs
}  # fmt: skip


def wanted(environment: Mapping[str, str]) -> bool:
    """Whether the locale names an encoding that cannot show more: `LANG=C`, or `en_US.ISO-8859-1`.

    Where none is named, as in many containers and over SSH, the terminal can nearly always do more.
    Python itself sets `LC_CTYPE` to `C.UTF-8` for `LANG=C`, which says nothing of the terminal.
    """
    coerced = {"C.UTF-8", "C.utf8", "UTF-8"}
    named = environment.get("LC_ALL") or environment.get("LC_CTYPE") or ""
    if not named or (named in coerced and not environment.get("LC_ALL")):
        named = environment.get("LANG") or ""
    return bool(named) and "utf" not in named.casefold()
