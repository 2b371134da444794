"""Tasks derived from a reference: a PyTorch module, a pair of functions, a FlashInfer definition.

`formats` reads each kind into one `Reference`, `deriving` runs it on the meta device to learn
shapes, work and sizes that may vary, `fitting` with data what it stands; `spec` is what was
learned, `task` turns it into a task, and `adopting` writes the task's folder.
"""
