"""Runs a candidate's `launch` on stand-ins for tensors and writes down what it launches.

Started in the sandbox as a file, not as a module of the package:
`python recording.py RECORDER request.json reply.json`, the last two in the current folder, with the
candidate's files in `src/`. RECORDER is the file of one language, loaded as the module `recorder`;
it defines `CandidateError` and `Recorder`, and writes a PTX text for each module it compiles.
All of that is the candidate's word: who reads it checks it, and assembles the PTX elsewhere.
"""

from __future__ import annotations

import contextlib
import importlib.util
import inspect
import io
import json
import re
import sys
import traceback
from pathlib import Path
from typing import Any

_COLOURS = re.compile(r"\x1b\[[0-9;]*m")


def _module(name: str, path: Path) -> Any:
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def _launch_of(file: str, module: Any) -> Any:
    """The function `launch` of the candidate."""
    sys.path.insert(0, str(Path("src").resolve()))
    sys.dont_write_bytecode = True
    path = Path("src", file).resolve()
    launch = getattr(_module(path.stem, path), "launch", None)
    if not callable(launch):
        raise module.CandidateError(f"{file} has no function launch")
    return launch


def _arguments(
    launch: Any, configuration: dict[str, Any], recorder: Any, module: Any
) -> dict[str, Any]:
    """What `launch` is called with: tensors and names of the configuration, by its parameters."""
    known: dict[str, Any] = {**configuration["names"], **recorder.extras()}
    for tensor in configuration["tensors"]:
        sizes = tuple(tensor["shape"])
        known[tensor["name"]] = recorder.tensor(tensor["name"], tensor["dtype"], sizes)
    wanted = inspect.signature(launch).parameters
    unknown = [
        name for name, p in wanted.items() if name not in known and p.default is inspect._empty
    ]
    if unknown:
        raise module.CandidateError(
            f"launch wants {', '.join(unknown)}; it can have: {', '.join(sorted(known))}"
        )
    return {name: known[name] for name in wanted if name in known}


def _trouble(error: BaseException, module: Any) -> dict[str, str]:
    """What the agent is told of an exception: its text, and where in the candidate's files."""
    own = str(Path("src").resolve())
    frames = [f for f in traceback.extract_tb(error.__traceback__) if f.filename.startswith(own)]
    where = "".join(
        f"{f.filename.removeprefix(own + '/')}:{f.lineno}: in {f.name}: {f.line}\n" for f in frames
    )
    text = _COLOURS.sub("", str(error)).strip() or type(error).__name__
    plain = module is not None and isinstance(error, module.CandidateError)
    kind = "" if plain else f"{type(error).__name__}: "
    cause = error.__cause__
    more = f"\n{type(cause).__name__}: {cause}" if cause is not None else ""
    return {"error": f"{kind}{text}".replace(f"{own}/", ""), "log": f"{where}{kind}{text}{more}"}


def main(recorder_file: str, request_file: str, reply_file: str) -> None:
    """Compiles what the request says and writes the reply."""
    request = json.loads(Path(request_file).read_text(encoding="utf-8"))
    reply: dict[str, Any] = {"configurations": {}}
    output = io.StringIO()
    module: Any = None
    with contextlib.redirect_stdout(output), contextlib.redirect_stderr(output):
        try:
            module = _module("recorder", Path(recorder_file))
            recorder = module.Recorder(request["architecture"])
            launch = _launch_of(request["file"], module)
            for configuration in request["configurations"]:
                recorder.begin()
                try:
                    recorder.call(launch, _arguments(launch, configuration, recorder, module))
                except (Exception, SystemExit) as error:
                    reply["configurations"][configuration["name"]] = _trouble(error, module)
                    break
                reply["configurations"][configuration["name"]] = {
                    "launches": recorder.launches,
                    "workspaces": recorder.workspaces,
                }
        except (Exception, SystemExit) as error:
            reply["trouble"] = _trouble(error, module)
    reply["printed"] = _COLOURS.sub("", output.getvalue())[-8000:]
    Path(reply_file).write_text(json.dumps(reply), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3])
