"""`avo export`: carry a session away; the forms there are, and what may be asked of each."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from typer import BadParameter, Option, Typer

from avo_tui.cli.parameters import Json, Name, completing, opened, pick
from avo_tui.cli.terminal import emit, say
from avo_tui.user_paths import from_home


@dataclass(frozen=True)
class ExportForm:
    """One form in which a session can be exported; `taking_home.take` writes it."""

    name: str
    """Value of the option `--as`."""
    label: str
    """Description in a few words, for the help."""
    of_version: bool = False
    """Whether it is made from one version, so that `--version` applies."""
    of_package: bool = False
    """Whether it is compiled, so that `--arch`, `--shape` and `--function` apply."""
    repository: bool | None = None
    """Whether it is for repositories alone (True) or for kernels alone (False)."""


FORMS = (
    ExportForm("git", "the lineage as a repository"),
    ExportForm(
        "branch",
        "of a repository: a branch on its base, tried on a clean clone, with a pull request's text",
        of_version=True,
        repository=True,
    ),
    ExportForm("html", "a report page"),
    ExportForm(
        "source",
        "a version's kernel as one file for its compiler, with functions that C can call",
        of_version=True,
        of_package=True,
        repository=False,
    ),
    ExportForm(
        "torch",
        "a version's kernel as a Python package with an operator of torch",
        of_version=True,
        of_package=True,
        repository=False,
    ),
    ExportForm(
        "hf-kernel",
        "the same in the layout that Hugging Face's kernels loads",
        of_version=True,
        of_package=True,
        repository=False,
    ),
    ExportForm("recording", "the agent's conversation, to be played again"),
)
"""What `avo export --as` can make; one entry each."""

app = Typer()


@app.command(epilog="Example: avo export demo --to demo-git --as git")
def export(
    name: Name,
    to: Annotated[Path, Option(help="A folder that is not there yet, or empty.", metavar="DIR")],
    form: Annotated[
        str,
        Option(
            "--as",
            metavar="FORM",
            autocompletion=completing(lambda _: (known.name for known in FORMS)),
            help="; ".join(f"{known.name}: {known.label}" for known in FORMS) + ".",
        ),
    ],
    version: Annotated[
        str | None,
        Option(
            help="With a form of one version: which. Without it the one that has the bookmark"
            " export (avo bookmark NAME VERSION export), or else the best."
        ),
    ] = None,
    arch: Annotated[
        list[str] | None,
        Option(
            metavar="SM",
            help="With source, torch and hf-kernel: a GPU architecture such as sm_90a; may be"
            " repeated.",
        ),
    ] = None,
    shape: Annotated[
        list[str] | None,
        Option(
            metavar="NAME=VALUE,…",
            help="With source, torch and hf-kernel: a shape beside those that were checked; may be"
            " repeated.",
        ),
    ] = None,
    domain: Annotated[
        Path | None,
        Option(
            metavar="FILE",
            help="With torch and hf-kernel: the sizes that the package takes, in place of the"
            " task's domain.toml.",
        ),
    ] = None,
    function: Annotated[
        str,
        Option(help="What to call the kernel: with torch, hf-kernel, and the source for a GPU."),
    ] = "",
    backward: Annotated[
        str,
        Option(
            metavar="SESSION",
            help="With torch: the session whose kernel computes the gradients.",
        ),
    ] = "",
    as_json: Json = False,
) -> None:
    """Carry a session away: a repository, a report page, its kernel as a source or a package."""
    from avo_tui.cli import taking_home  # the app, which shows the forms, does not wait for it

    chosen = next((known for known in FORMS if known.name == form), None)
    if chosen is None:
        names = ", ".join(known.name for known in FORMS)
        raise BadParameter(f"{form!r} is not one of {names}", param_hint="--as")
    if version is not None and not chosen.of_version:
        takers = " or ".join(known.name for known in FORMS if known.of_version)
        raise BadParameter(f"it goes with --as {takers}", param_hint="--version")
    if (arch or shape or function or domain) and not chosen.of_package:
        takers = " or ".join(known.name for known in FORMS if known.of_package)
        raise BadParameter(f"it goes with --as {takers}", param_hint="--arch")
    if backward and form != "torch":
        raise BadParameter("it goes with --as torch", param_hint="--backward")
    reader = opened(name)
    number = None if version is None else pick(reader.state, version)
    options = taking_home.ExportOptions(
        number,
        tuple(arch or ()),
        tuple(shape or ()),
        domain,
        function,
        opened(backward) if backward else None,
    )
    done, hint = taking_home.take(form, reader, to, options)
    if not as_json:
        say(f"{done.folder}: {hint}")
        return
    emit(
        {
            "session": reader.state.session.name,
            "as": form,
            "folder": str(from_home(done.folder).absolute()),
            "files": list(done.files),
            "versions": list(done.versions),
        }
    )
