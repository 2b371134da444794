"""Parts that watch a run: budget caps, devices, and the supervisor that detects a stall."""
