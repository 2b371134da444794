"""A header with which a program in C or C++ reads the inputs of a call from files."""

from __future__ import annotations

from avo_tui.evaluation.backends.cpp.glue import ELEMENTS
from avo_tui.evaluation.input_files import DrawnInputs, InputFile

HEADER = "inputs.h"
"""Its name, beside the files."""


def c_header(drawn: DrawnInputs, files: tuple[InputFile, ...]) -> str:
    """A header for C and C++ that reads the files: `inputs_NAME()` for each, and the sizes.

    Arrays begin at addresses that are multiples of 64 bytes and may be written to. What the
    configuration gives (sizes, flags) are constants `INPUTS_NAME`.
    """
    lines = [
        f"// {drawn.about}: as the harness draws them.",
        "// inputs_NAME() gives the elements of NAME.bin; INPUTS_NAME is a size or a flag.",
        "#ifndef INPUTS_H",
        "#define INPUTS_H",
        "#include <stdbool.h>",
        "#include <stdint.h>",
        "#include <stdio.h>",
        "#include <stdlib.h>",
        _READ,
    ]
    for name, value in drawn.configuration.parameters.items():
        if isinstance(value, str):
            continue
        text = str(value).lower() if isinstance(value, bool) else repr(value)
        lines.append(f"#define INPUTS_{name} {text}")
    for file in files:
        shape = " x ".join(str(size) for size in file.shape) or "one element"
        kind = ELEMENTS[file.dtype]
        lines += [
            f"// {file.name}: {shape}, {file.dtype}",
            f"static inline {kind}* inputs_{file.name}(void) {{",
            f"    static {kind}* data;",
            f'    if (data == NULL) data = ({kind}*)inputs_read("{file.file}", {file.bytes});',
            "    return data;",
            "}",
        ]
    return "\n".join([*lines, "#endif", ""])


_READ = """\
static inline void* inputs_read(const char* name, size_t bytes) {
    void* data = aligned_alloc(64, (bytes + 63) / 64 * 64 + 64);
    FILE* file = fopen(name, "rb");
    if (data == NULL || file == NULL || fread(data, 1, bytes, file) != bytes) {
        fprintf(stderr, "%s cannot be read\\n", name);
        exit(1);
    }
    fclose(file);
    return data;
}"""
