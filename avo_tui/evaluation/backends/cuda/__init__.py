"""The backend for CUDA candidates: device source and a launch manifest, no host code."""
