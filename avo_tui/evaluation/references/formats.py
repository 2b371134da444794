"""The forms in which a reference may be brought, read into one.

- *module*: `Model(torch.nn.Module)`, `get_inputs()` and `get_init_inputs()`, as in KernelBench;
- *pair*: `ref_kernel(data)` and `generate_input(...)`, as in GPU MODE's competitions;
- *flashinfer*: a definition of FlashInfer-Bench, a JSON object whose `reference` has `run(...)`.
"""

from __future__ import annotations

from avo_tui.evaluation.references.files import Companions
from avo_tui.evaluation.references.flashinfer import FlashInfer
from avo_tui.evaluation.references.module import Module
from avo_tui.evaluation.references.pair import Pair
from avo_tui.evaluation.references.sample import BadReferenceError
from avo_tui.evaluation.references.source import Reference, Source


def read(
    text: str,
    file: str,
    *,
    evaluation_mode: bool = False,
    companions: Companions | None = None,
) -> Reference:
    """Read a reference from a file's text. Raises BadReferenceError if it has none of the forms."""
    if text.lstrip().startswith("{"):
        return FlashInfer(text)
    companions = companions or Companions()
    source = Source(text, file, companions.modules)
    names = source.defined
    if "Model" in names and "get_inputs" in names:
        return Module(source, evaluation_mode)
    if "ref_kernel" in names and "generate_input" in names:
        return Pair(source, companions)
    raise BadReferenceError(
        f"{file} has neither Model and get_inputs, nor ref_kernel and generate_input, nor is it a "
        "definition of FlashInfer-Bench"
    )
