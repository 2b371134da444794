"""The Textual app. It reads the store, sends commands, and holds nothing that a run needs."""

import os

# Textual reads its frame rate when it is imported. Twenty frames a second look the same as sixty
# for what these screens show, and a busy run costs a third of the bytes over SSH.
if os.environ.get("AVO_LOW_BANDWIDTH", "") not in {"", "0"}:
    os.environ.setdefault("TEXTUAL_FPS", "4")
os.environ.setdefault("TEXTUAL_FPS", "20")
