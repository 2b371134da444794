"""The process that runs the compiler: one translation unit to one cubin. Started in the sandbox.

Run as a file, not as a module of the package, so that it needs cuda.core alone:
`python compile_child.py request.json reply.json`, both in the current folder.
"""

from __future__ import annotations

import io
import json
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

# Instruction classes to count, in the order in which feedback shows them; the first match counts.
CLASSES = (
    "HGMMA", "QGMMA", "IGMMA", "BGMMA", "UTCHMMA", "UTCQMMA", "UTCBAR", "UTCATOMSWS", "HMMA",
    "IMMA", "DMMA", "UTMALDG", "UTMASTG", "UTMAREDG", "UTMAPF", "UBLKCP", "LDGSTS", "LDSM", "STSM",
    "LDTM", "STTM", "USETMAXREG", "SYNCS", "MUFU", "FFMA", "HFMA2", "SHFL", "LDL", "STL", "BAR",
)  # fmt: skip
_MNEMONIC = re.compile(r"/\*[0-9a-f]{4,}\*/\s+(?:@!?U?P\w+\s+)?([A-Z][A-Z0-9]*)")


def count_instructions(listing: str) -> dict[str, int]:
    """Instructions per class in a disassembly, classes that do not occur left out."""
    counts: dict[str, int] = {}
    for match in _MNEMONIC.finditer(listing):
        counts[match[1]] = counts.get(match[1], 0) + 1
    return {name: counts[name] for name in CLASSES if name in counts}


def _compile(request: dict[str, Any]) -> dict[str, Any]:
    from cuda.core import Program, ProgramOptions  # takes seconds to import

    options = request["options"]
    started = time.monotonic()
    log = io.StringIO()
    settings: dict[str, Any] = {
        "name": request["source"],
        "arch": request["architecture"],
        "std": options["std"],
        "ptxas_options": ["-v", f"-O{options['optimize']}"],
        "include_path": request["include"],
        "pre_include": "avo_prelude.h",
    }
    if request["macros"]:  # the library refuses an empty list
        settings["define_macro"] = [(name, value) for name, value in request["macros"]]
    if options["max_registers"]:
        settings["max_register_count"] = options["max_registers"]
    for flag, name in (
        ("fast_math", "use_fast_math"),
        ("line_info", "lineinfo"),
        ("device_by_default", "device_as_default_execution_space"),
    ):
        if options[flag]:
            settings[name] = True
    source = Path("src", request["source"]).read_text(encoding="utf-8")
    source = f'#line 1 "{request["source"]}"\n{source}'
    try:
        program = Program(source, "c++", ProgramOptions(**settings))
        code = program.compile("cubin", tuple(request["expressions"]), logs=log)
    except Exception as error:  # the library raises a private class whose text is the log
        # The log is the last part of the error's text; it is the candidate's feedback.
        text = f"{log.getvalue()}\n{error}"
        seconds = time.monotonic() - started
        return {"ok": False, "log": text, "seconds": seconds, "kind": type(error).__name__}
    Path("unit.cubin").write_bytes(bytes(code.code))
    lowered = {
        name: value.decode() if isinstance(value, bytes) else str(value)
        for name, value in dict(code.symbol_mapping).items()
    }
    return {
        "ok": True,
        "log": log.getvalue(),
        "symbols": lowered,
        "seconds": time.monotonic() - started,
    }


def _disassemble(tool: str) -> dict[str, int]:
    done = subprocess.run(
        [tool, "-c", "unit.cubin"], capture_output=True, text=True, errors="replace", check=False
    )
    return count_instructions(done.stdout)


def main(request_file: str, reply_file: str) -> None:
    """Compiles what the request says and writes the reply."""
    request = json.loads(Path(request_file).read_text(encoding="utf-8"))
    reply = _compile(request)
    if reply["ok"] and request["nvdisasm"]:
        reply["instructions"] = _disassemble(request["nvdisasm"])
    Path(reply_file).write_text(json.dumps(reply), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
