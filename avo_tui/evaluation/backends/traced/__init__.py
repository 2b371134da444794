"""GPU languages inside Python: a candidate's `launch` is run once, and its launches recorded."""
