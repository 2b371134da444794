"""The Textual app. It reads the store and sends commands; a run does not depend on it."""

import os

# Textual reads its frame rate when it is imported, and a key waits for up to two frames until its
# picture. So frames are short; what events bring is painted at the pace of the app's tick, which
# alone decides what a busy run costs over SSH.
slow = os.environ.get("AVO_LOW_BANDWIDTH", "") not in {"", "0"}
os.environ.setdefault("TEXTUAL_FPS", "20" if slow else "60")
