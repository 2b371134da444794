"""avo-tui: a terminal user interface for supervised evolution of compute kernels."""

__version__ = "0.1.0"
