"""The disposable process that holds the GPU context in which a candidate runs.

All host code in it belongs to the harness; the candidate consists of device code only. The process
never holds a reference result.
"""
