"""A compiled kernel on its way out: what an installable package of it needs, as plain data."""

from __future__ import annotations

from pydantic import Field

from avo_tui.domain.base import Value


class DeployedTensor(Value):
    """A tensor of a kernel's signature, contiguous in the order of `shape`."""

    name: str
    dtype: str
    """As torch names it, such as `bfloat16`."""
    shape: tuple[int, ...]


class DeployedShape(Value):
    """One set of shapes and settings that the kernel may be called with."""

    name: str
    """The configuration's name, such as `causal-4k`."""
    inputs: tuple[DeployedTensor, ...]
    outputs: tuple[DeployedTensor, ...]
    parameters: dict[str, int | bool | float | str]
    checked: bool = True
    """False for a shape that the harness never ran: the package's own test has to try it."""
    launch: dict[str, object] = Field(default_factory=dict)
    """What the launcher needs to know of it."""


class Build(Value):
    """How the installation of a package compiles the kernel."""

    flags: tuple[str, ...] = ()
    """Of the compiler, as in the measurement."""
    entry: str
    """The function that the launcher calls."""
    language: str = "c++"
    """What setuptools calls it; without meaning where there is a `command`."""
    sources: tuple[str, ...] = ()
    """The files to compile, in the folder of sources."""
    files: dict[str, str] = Field(default_factory=dict, repr=False)
    """What they need beside the kernel's own files: name → text."""
    link: tuple[str, ...] = ()
    """Further arguments of the linker."""
    command: tuple[str, ...] = ()
    """Run in the folder of sources instead of the compilers that setuptools knows; the word
    `OUTPUT` stands for the shared object to make."""
    compiler_variable: str = ""
    """Environment variable that may name another program than the command's first word."""


class Deployment(Value):
    """A kernel with everything that running it outside avo-tui takes."""

    language: str
    launcher: str = Field(repr=False)
    """Python source of the package's module `launch`: a class `Launcher(folder, shapes, entry)`
    whose instances are called with a shape's number and the inputs, and return the outputs."""
    function: str
    """What a caller calls it."""
    shapes: tuple[DeployedShape, ...]
    files: dict[str, bytes] = Field(default_factory=dict, repr=False)
    """What the launcher loads, such as cubins, by name."""
    build: Build | None = None
    """None where nothing is to be compiled."""
    device: str = "cpu"
    """The kind of torch device that it runs on."""
    needs: str = ""
    """What it needs of a machine, in a few words for a person."""
    requires: tuple[str, ...] = ()
    """Further Python packages, as pyproject.toml takes them."""
    sample: bytes = Field(default=b"", repr=False)
    """Inputs, expected outputs and allowed errors of the smallest shape, as torch.save writes a
    dictionary of tensors: what the package's own test compares with."""
    sample_shape: str = ""
    """Name of the shape that `sample` is of."""


class SingleSource(Value):
    """A kernel as one file that a compiler takes as it is, with functions that C can call."""

    name: str
    """The file's name, such as `attention.cu`."""
    text: str = Field(repr=False)
    header: str = Field(default="", repr=False)
    """Text of the C header that declares the functions; its name is the file's, ending in `.h`.
    Empty where C cannot call them."""
    command: tuple[str, ...]
    """Compiles the file, run in the file's folder."""
    usage: str
    """Markdown: the functions, and where they hold."""


class Setting(Value):
    """An argument of the kernel that the shapes of its inputs do not tell, such as `causal`."""

    name: str
    kind: str
    """`bool`, `int`, `float` or `str`, as Python and torch's schemas name them."""


def settings(shapes: tuple[DeployedShape, ...]) -> tuple[Setting, ...]:
    """The parameters that tell apart what the inputs' shapes do not, in the order they are named.

    Each is taken only where it splits shapes that would look alike without it.
    """
    chosen: list[str] = []
    names = list(dict.fromkeys(name for shape in shapes for name in shape.parameters))

    def groups() -> list[list[DeployedShape]]:
        groups: dict[object, list[DeployedShape]] = {}
        for shape in shapes:
            known = tuple(shape.parameters.get(name) for name in chosen)
            groups.setdefault((tuple(t.shape for t in shape.inputs), known), []).append(shape)
        return list(groups.values())

    for name in names:
        if any(len({repr(s.parameters.get(name)) for s in group}) > 1 for group in groups()):
            chosen.append(name)
    return tuple(Setting(name=name, kind=_kind(shapes, name)) for name in chosen)


def _kind(shapes: tuple[DeployedShape, ...], name: str) -> str:
    types = {type(shape.parameters[name]) for shape in shapes if name in shape.parameters}
    for kind in (str, float, int):
        if kind in types:
            return kind.__name__
    return "bool"
