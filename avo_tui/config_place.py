"""Where the file with a person's settings is. Apart from them: reading settings imports much."""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs

from avo_tui.user_paths import from_home


def config_file() -> Path:
    """The file that settings are read from, there or not."""
    chosen = os.environ.get("AVO_CONFIG")
    if chosen:
        return from_home(chosen)
    return platformdirs.user_config_path("avo-tui") / "config.toml"
