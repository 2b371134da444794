"""The disposable process that holds the GPU context in which a candidate runs.

All of its host code is ours; the candidate is device code. It never holds a reference value.
"""
