"""A compiled kernel for use outside avo-tui: the data that an installable package of it needs."""

from __future__ import annotations

from pydantic import Field

from avo_tui.domain.base import Value


class DeployedTensor(Value):
    """A tensor of a kernel's signature, contiguous in the order of `shape`."""

    name: str
    dtype: str
    """Data type as torch names it, such as `bfloat16`."""
    shape: tuple[int, ...]


class DeployedShape(Value):
    """One set of shapes and settings that the kernel may be called with."""

    name: str
    """The configuration's name, such as `causal-4k`."""
    inputs: tuple[DeployedTensor, ...]
    outputs: tuple[DeployedTensor, ...]
    parameters: dict[str, int | bool | float | str]
    checked: bool = True
    """False for a shape that the harness never ran; the package's own test has to run it."""
    launch: dict[str, object] = Field(default_factory=dict)
    """Further data that the launcher needs for this shape."""


class Domain(Value):
    """The sizes that a kernel may be called with, where these are more than a list of shapes.

    A dimension or a rule is an expression in the configurations' parameters, as in a launch
    manifest: `batch`, `heads // kv_heads`, `sequence % 128 == 0`.
    """

    sizes: dict[str, tuple[int, int] | tuple[int, int, int]]
    """Parameter → its least and its greatest value, and what it is a multiple of. Others keep the
    value of all configurations."""
    where: tuple[str, ...] = ()
    """What must hold besides."""
    inputs: dict[str, tuple[int | str, ...]]
    """Input → its dimensions. Each size is a dimension of at least one input."""
    outputs: dict[str, tuple[int | str, ...]]
    names: dict[str, str | int] = Field(default_factory=dict)
    """Names in the manifest's expressions, where they are not a parameter's in upper case."""
    launch: dict[str, object] = Field(default_factory=dict)
    """What the launcher makes the launch of a new shape from."""


def least_greatest_step(size: tuple[int, ...]) -> tuple[int, int, int]:
    """A size of a domain in full."""
    least, greatest, step = (*size, 1)[:3]
    return least, greatest, step


class Build(Value):
    """How the installation of a package compiles the kernel."""

    flags: tuple[str, ...] = ()
    """Compiler flags, the same as in the measurement."""
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
    """A kernel with everything that is needed to run it outside avo-tui."""

    language: str
    launcher: str = Field(repr=False)
    """Python source of the package's module `launch`: a class `Launcher(folder, shapes, entry)`
    whose instances are called with a shape's number and the inputs, and return the outputs."""
    function: str
    """Name of the function that callers use."""
    shapes: tuple[DeployedShape, ...]
    domain: Domain | None = None
    """The further shapes that it may be called with; None where `shapes` are all."""
    files: dict[str, bytes] = Field(default_factory=dict, repr=False)
    """What the launcher loads, such as cubins, by name."""
    build: Build | None = None
    """How the installation compiles the kernel; None if it has nothing to compile."""
    device: str = "cpu"
    """Kind of torch device that the kernel runs on."""
    needs: str = ""
    """What the kernel requires of a machine, in a few words for a person."""
    requires: tuple[str, ...] = ()
    """Further Python packages that it requires, in the syntax of pyproject.toml."""
    sample: bytes = Field(default=b"", repr=False)
    """Inputs, expected outputs and error tolerances of one shape, the smallest: a dictionary of
    tensors as torch.save writes it. The package's own test compares with these."""
    sample_shape: str = ""
    """Name of the shape that `sample` belongs to."""


class SingleSource(Value):
    """A kernel as one source file that a compiler accepts unchanged, with functions callable from
    C."""

    name: str
    """The file's name, such as `attention.cu`."""
    text: str = Field(repr=False)
    header: str = Field(default="", repr=False)
    """Text of the C header that declares the functions; its name is the file's, ending in `.h`.
    Empty where C cannot call them."""
    command: tuple[str, ...]
    """Compiles the file, run in the file's folder."""
    usage: str
    """Markdown that describes the functions and the shapes they are valid for."""


class Setting(Value):
    """An argument of the kernel that cannot be derived from the shapes of its inputs, such as
    `causal`."""

    name: str
    kind: str
    """`bool`, `int`, `float` or `str`, as Python and torch's schemas name them."""


def settings(shapes: tuple[DeployedShape, ...]) -> tuple[Setting, ...]:
    """The parameters that a caller must pass because the inputs' shapes do not determine them.

    A parameter is included only if it distinguishes shapes that would otherwise look alike. The
    order is that in which the shapes name the parameters.
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
