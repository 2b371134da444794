"""The life of a run: recovery, the seed, standing still, and its lines without the app."""
