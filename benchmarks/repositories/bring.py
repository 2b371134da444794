"""Brings source distributions of published packages, as repositories that `avo adopt` takes.

    python benchmarks/repositories/bring.py FOLDER

None of their code is kept here: pip downloads it. Beside each lies what this project adds, an
`avo.toml`, and where a package ships no test or no benchmark, one of our own.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
PACKAGES = {
    "base64": ("pybase64==1.5.1", "base64"),
    "mistletoe": ("mistletoe==1.6.0", ""),
    "lzfse": ("lzfse==0.4.2.post1", ""),
    "simplejson": ("simplejson==4.3.0", ""),
}
"""Name → (what pip downloads, the folder of it that is the repository)."""


def bring(name: str, to: Path) -> Path:
    """Download and unpack one package; its folder."""
    requirement, inner = PACKAGES[name]
    target = to / name
    if target.exists():
        raise SystemExit(f"{target} is there already")
    with tempfile.TemporaryDirectory() as place:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
        command += ["--no-build-isolation", "--no-binary", requirement.split("==")[0]]
        command += ["--dest", place, requirement]
        subprocess.run(command, check=True)
        (archive,) = Path(place).glob("*.tar.gz")
        with tarfile.open(archive) as file:
            file.extractall(place, filter="data")
        (unpacked,) = (path for path in Path(place).iterdir() if path.is_dir())
        shutil.copytree(unpacked / inner, target)
    for path in sorted((HERE / name).iterdir()):
        shutil.copy(path, target / path.name)
    about = target / "avo.toml"
    about.write_text(about.read_text().replace('"PYTHON"', f'"{Path(sys.executable).parent}"'))
    hidden = HERE / f"{name}-hidden"
    if hidden.is_dir():
        shutil.copytree(hidden, to / hidden.name)
    return target


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="where the repositories are put")
    parser.add_argument("names", nargs="*", help=f"some of {', '.join(PACKAGES)}")
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    for name in given.names or PACKAGES:
        print(bring(name, given.folder))


if __name__ == "__main__":
    main()
