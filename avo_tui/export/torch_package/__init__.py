"""A version's kernel as a Python package with a custom operator of torch.

`templates/` holds the files that go into every package as they are; the launcher comes from the
backend, with the deployment. They import torch and are never imported by avo-tui itself.
"""

from avo_tui.export.torch_package.layouts import as_hf_kernel, as_torch
from avo_tui.export.torch_package.names import package_name

__all__ = ["as_hf_kernel", "as_torch", "package_name"]
