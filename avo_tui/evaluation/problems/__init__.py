"""Kernel problems that several tasks share: inputs, reference, what must not notice a change.

`attention` is the problem itself and knows no backend; `attention_cuda` is what the CUDA tasks on
it share beside that.
"""
