"""A version's kernel as a Python package with a custom operator of torch.

`templates/` holds the files that go into the package as they are; they import torch and are
therefore never imported by avo-tui itself.
"""

from avo_tui.export.torch_package.layouts import as_hf_kernel, as_torch
from avo_tui.export.torch_package.names import package_name

__all__ = ["as_hf_kernel", "as_torch", "package_name"]
