"""Kernel problems that several tasks share: inputs, reference, what must not notice a change.

`attention` is the problem itself and knows no backend; `attention_cuda` is what the CUDA tasks on
it share beside that. `dropout` is attention with dropout behind a projection, which the tasks in
bf16 and fp8 share; `dropout_mask` defines its random numbers.
"""
