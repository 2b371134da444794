"""Compiles the kernel for this processor, with the options it was measured with."""

import json
import os
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

BUILD = json.loads(Path(__file__).with_name("build.json").read_text(encoding="utf-8"))
"""`command` is run in the folder of sources, where `OUTPUT` is the shared object to make; the
environment variable `compiler_variable` may name another compiler."""


class Compile(build_ext):
    """Runs the command in place of a compiler that setuptools knows."""

    def build_extension(self, extension: Extension) -> None:
        """Makes the one shared object of the package."""
        output = Path(self.get_ext_fullpath(extension.name)).absolute()
        output.parent.mkdir(parents=True, exist_ok=True)
        compiler, *arguments = BUILD["command"]
        compiler = os.environ.get(BUILD["compiler_variable"]) or compiler
        words = [compiler, *(str(output) if word == "OUTPUT" else word for word in arguments)]
        before = Path.cwd()
        os.chdir(before / "src" / "PACKAGE" / "source")
        try:
            self.spawn(words)
        finally:
            os.chdir(before)


setup(ext_modules=[Extension("PACKAGE._kernel", sources=[])], cmdclass={"build_ext": Compile})
