"""The backend for CUDA candidates: device source and a declarative launch manifest, no host code."""
