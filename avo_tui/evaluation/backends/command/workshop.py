"""Where trees are laid out, built and run: each command in a fresh copy, in the sandbox."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
from collections import OrderedDict
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path

from avo_tui.domain.candidate import Candidate
from avo_tui.domain.repository import editable
from avo_tui.domain.verdict import Feedback, Verdict
from avo_tui.evaluation.backends.base import Rejected
from avo_tui.evaluation.backends.command.base import Base, mark_of
from avo_tui.evaluation.backends.command.project import Project
from avo_tui.evaluation.backends.cpp.machine import lock_name
from avo_tui.evaluation.paths import cache_folder
from avo_tui.evaluation.ports import EvaluatorError
from avo_tui.evaluation.sandbox.policy import MIB, Isolation, Job, Limits, Outcome
from avo_tui.evaluation.sandbox.run import Sandbox
from avo_tui.evaluation.sandbox.scratch import remove_tree, scratch_folder
from avo_tui.worktree import lay

KEPT_TREES = 4
"""Built candidates that a worker keeps."""
KEPT_BASES = 6
"""Built bases that the cache keeps."""
MOST_FIXED = 20_000
"""Protected files that are mounted read-only; beyond that they are compared only."""
_GIB = 1 << 30
GPUS = "nvidia*"
"""The devices of GPUs, in /dev."""
SYSTEM_PATH = "/usr/local/bin:/usr/bin:/bin"
_ALSO_READ = (
    "/sys/devices/system/cpu", "/usr/local", "/opt", "/etc/ssl/openssl.cnf", "/etc/localtime",
    "/dev/stdout", "/dev/stderr", "/dev/stdin", "/dev/fd",
)  # fmt: skip
_ONLINE = ("/etc/resolv.conf", "/etc/hosts", "/etc/nsswitch.conf", "/etc/ssl",
           "/etc/ca-certificates")  # fmt: skip
_WITHIN = (
    "socket", "socketpair", "connect", "bind", "listen", "kill", "tkill", "personality", "shmget",
    "semget", "msgget", "mq_open", "memfd_create",
)  # fmt: skip
"""System calls that reach nothing outside a sandbox with namespaces of its own."""
_WANTS_NETWORK = re.compile(
    "(?i)resolve host|name resolution|name or service not known|network is unreachable|EAI_AGAIN"
    "|connection refused|urlopen error|connect.{0,80}permission denied"
)
_NO_FORK = re.compile("(?i)cannot fork|fork: (retry|resource)|can't start new thread")
_REASONS: Mapping[str, tuple[Verdict, str]] = {
    "time": (Verdict.TIMEOUT, "takes longer than its limit of {seconds:g} s"),
    "memory": (Verdict.OUT_OF_MEMORY, "uses more than its limit of {memory:g} GB of memory"),
    "processes": (Verdict.CRASH, "starts more than its limit of {processes} processes"),
    "scratch": (Verdict.CRASH, "writes more than its limit of {disk:g} GB, or too many files"),
    "output": (Verdict.CRASH, "prints more than it may"),
    "cancelled": (Verdict.CANCELLED, "was cancelled"),
}


@dataclass(frozen=True)
class Tree:
    """A built tree, which nothing writes to any more, with what its build left in its home."""

    folder: Path
    log: str = ""
    seconds: float = 0.0
    candidate: str = ""
    """What it is the tree of; empty for the base."""

    def failed(self, verdict: Verdict, summary: str, log: str = "") -> Exception:
        """What to raise where a command fails in it: the base's fault is no candidate's."""
        if not self.candidate:
            return EvaluatorError(f"on the base: {summary}\n{log[-1_500:]}".rstrip())
        rejection = Rejected(verdict, Feedback(summary=summary, log=log[-12_000:]))
        rejection.whose = self.candidate
        return rejection


@dataclass(frozen=True)
class Ran:
    """How one of the project's commands ended."""

    outcome: Outcome
    scratch: Path
    words: str = ""
    """Where it did not succeed: a sentence that says so."""
    verdict: Verdict | None = None
    """What that is; None for an exit code, of which the stage knows what it means."""

    @property
    def ok(self) -> bool:
        return self.outcome.ok

    @property
    def tree(self) -> Path:
        return self.scratch / "tree"

    @property
    def text(self) -> str:
        return "\n".join(filter(None, [self.outcome.stdout.strip(), self.outcome.stderr.strip()]))


class Workshop:
    def __init__(self, project: Project, base: Base, sandbox: Sandbox, folder: Path) -> None:
        """`folder` is the person's, which only hidden tests are read from."""
        self.folder = folder
        self.project = project
        self.base = base
        self.sandbox = sandbox
        self._trees: OrderedDict[str, tuple[Tree, contextlib.ExitStack]] = OrderedDict()
        self._built: Tree | None = None
        self.touched: frozenset[str] = frozenset()
        """Protected files that the base's own build writes: nothing can be told from them."""
        self.seed = base.seed(project.project.editable)

    @property
    def device(self) -> str:
        return "gpu-0" if self.project.benchmark.device == "cuda" else lock_name()

    def close(self) -> None:
        """Remove all trees but those of the cache."""
        while self._trees:
            self._trees.popitem()[1][1].close()

    # -- built trees ------------------------------------------------------------------------

    async def built_base(self) -> Tree:
        """The base, built once on this machine. Raises EvaluatorError where it does not build."""
        if self._built is not None:
            return self._built
        level = await self.sandbox.level()
        what = (self.base.id, self.project.build.model_dump_json(),
                self.project.environment.model_dump_json(), level.isolation, "2")  # fmt: skip
        root = cache_folder("repositories")
        home = root / sha256(repr(what).encode()).hexdigest()[:32]
        if not (home / "done").is_file():
            with scratch_folder() as scratch:
                await self._lay_out(scratch, None)
                ran = await self.build(scratch, first=True)
                if not ran.ok:
                    told = f"{ran.words}{self._likely(ran.text)}{_told(ran)}"
                    raise EvaluatorError(f"the base does not build: {told}")
                changed = sorted(self._changed(scratch / "tree"))
                remove_tree(home)
                home.mkdir(parents=True)
                await _copy(scratch, home / "built")
                (home / "touched").write_text("\n".join(changed))
                (home / "seconds").write_text(str(ran.outcome.seconds))
                (home / "done").touch()
            _prune(root)
        os.utime(home / "done")
        self.touched = frozenset(filter(None, (home / "touched").read_text().split("\n")))
        self._built = Tree(home / "built", "", float((home / "seconds").read_text()))
        return self._built

    def _likely(self, text: str) -> str:
        """Why a build finds something in the person's folder that it does not find here."""
        if link := next((name for name in self.base.foreign_links if name in text), ""):
            return f"; {link} is a link out of the tree: put what it leads to in its place"
        if not _WANTS_NETWORK.search(text):
            return ""
        keep = "keep what it needs in the repository (such as cargo vendor does)"
        if self.project.build.network:
            return f"; it was given the network, and cannot reach what it fetches from here: {keep}"
        return (
            "; the sandbox has no network; where the build fetches something: network = true under"
            f" [build], or {keep}"
        )

    async def built(self, candidate: Candidate) -> Tree:
        """A candidate, built on top of the built base. Raises Rejected where it does not build."""
        base = await self.built_base()
        self.require_editable(candidate)
        if candidate.id == self.seed.id:
            return base
        if candidate.id in self._trees:
            self._trees.move_to_end(candidate.id)
            return self._trees[candidate.id][0]
        level = await self.sandbox.level()
        whole = self.project.build.fresh or level.isolation is Isolation.PROCESSES
        with contextlib.ExitStack() as stack:
            scratch = stack.enter_context(scratch_folder())
            # Without mounts every sandbox has another path, and build folders keep paths.
            await self._lay_out(scratch, None if whole else base, candidate)
            ran = await self.build(scratch)
            if not ran.ok:
                verdict = ran.verdict or Verdict.COMPILE_ERROR
                raise Rejected(verdict, Feedback(summary=ran.words, log=ran.text[-16_000:]))
            self.require_unchanged(scratch / "tree", "the build")
            tree = Tree(scratch, ran.text, ran.outcome.seconds, candidate.id)
            self._trees[candidate.id] = (tree, stack.pop_all())
        while len(self._trees) > KEPT_TREES:
            self._trees.popitem(last=False)[1][1].close()
        return tree

    def require_editable(self, candidate: Candidate) -> None:
        """Raises Rejected for a file that a candidate must not bring."""
        patterns = self.project.project.editable
        for name in candidate.files:
            if not editable(name, patterns):
                summary = f"{name} is not editable"
            elif name in self.base.files and name not in self.seed.files:
                summary = f"{name} is no text file in the base, so it stays as it is"
            else:
                continue
            raise Rejected(
                Verdict.MANIFEST_ERROR,
                Feedback(
                    summary=summary,
                    detail=f"A candidate may change files under {', '.join(patterns)}.",
                    hint="Tests, benchmarks and what steers the build stay as in the base.",
                ),
            )

    async def build(
        self, scratch: Path, first: bool = False, variables: Mapping[str, str] | None = None
    ) -> Ran:
        """Run the build where a tree was laid out; the first one of a base may fetch."""
        stage = self.project.build
        return await self.run(scratch, "the build", stage.command or "true", stage.seconds,
                              fixed=not first, network=first and stage.network,
                              variables=variables)  # fmt: skip

    # -- commands ---------------------------------------------------------------------------

    async def _lay_out(
        self, scratch: Path, tree: Tree | None, candidate: Candidate | None = None
    ) -> None:
        """Fill a scratch folder with a built tree, or the base's files of which nothing is built,
        and a candidate's in place of the editable ones."""
        await _copy(*((tree.folder, scratch) if tree else (self.base.tree, scratch / "tree")))
        if candidate is not None:
            lay(candidate, scratch / "tree", self.seed.files)

    @contextlib.asynccontextmanager
    async def laid_out(
        self,
        tree: Tree | None,
        files: Mapping[str, bytes] | None = None,
        candidate: Candidate | None = None,
    ) -> AsyncIterator[Path]:
        """A scratch folder with a fresh copy of a built tree, and further files in it; without a
        tree, with a candidate of which nothing is built."""
        with scratch_folder() as scratch:
            await self._lay_out(scratch, tree, candidate)
            for name, data in (files or {}).items():
                (scratch / name).parent.mkdir(parents=True, exist_ok=True)
                (scratch / name).write_bytes(data)
            yield scratch

    async def root(self, scratch: Path) -> str:
        """The path that a command sees its scratch folder under."""
        inside = (await self.sandbox.level()).isolation is not Isolation.PROCESSES
        return "/scratch" if inside else str(scratch)

    async def run(
        self,
        scratch: Path,
        what: str,
        command: str,
        seconds: float,
        *,
        fixed: bool = True,
        network: bool = False,
        cpus: tuple[int, ...] = (),
        variables: Mapping[str, str] | None = None,
        keep: int = 256 * 1024,
    ) -> Ran:
        """Run one of the project's commands in a tree that was laid out. `what` is what sentences
        call it; `fixed`: its protected files cannot be written. Raises EvaluatorError where it
        cannot be started."""
        for name in ("home", "tmp"):
            (scratch / name).mkdir(exist_ok=True)
        root = await self.root(scratch)
        inside = root != str(scratch)
        own, bounds = self.project.environment, self.project.limits
        limits = Limits(
            seconds=seconds,
            memory_bytes=int(bounds.memory_gb * _GIB),
            address_bytes=None,
            processes=bounds.processes,
            file_bytes=int(bounds.disk_gb * _GIB),
            scratch_bytes=int(bounds.disk_gb * _GIB),
            output_bytes=64 * MIB,
            keep_bytes=keep,
            open_files=4096,
            scratch_entries=400_000,
        )
        job = Job(
            command=("/bin/sh", "-c", f"cd tree || exit 97\n{command}"),
            scratch=scratch,
            limits=limits,
            read=tuple(_readable([*own.path, *own.read]) + list(_ONLINE if network else ())),
            environment={**self._environment(root), **(variables or {})},
            devices=self._devices(),
            allowed_calls=_WITHIN if inside or network else ("socketpair",),
            cpu=cpus or None,
            network=network,
        )
        if fixed and inside and (names := self._fixed(scratch)):
            job = replace(job, fixed=names)
        outcome = await self.sandbox.run(job)
        if outcome.ok:
            return Ran(outcome, scratch)
        verdict, words = self._ending(outcome, seconds)
        if outcome.reason == "error":
            raise EvaluatorError(f"{what} was not started: {outcome.error}")
        return Ran(outcome, scratch, f"{what} {words}", verdict)

    def _environment(self, root: str) -> dict[str, str]:
        own = self.project.environment.variables
        return {
            "PATH": search_path(self.project),
            "HOME": f"{root}/home",
            "TMPDIR": f"{root}/tmp",  # noqa: S108  its own
            "LC_ALL": "C.UTF-8",
            "PYTHONHASHSEED": "0",
            **{name: text.replace("{tree}", f"{root}/tree") for name, text in own.items()},
        }

    def _devices(self) -> tuple[str, ...]:
        """What a CUDA project's commands see: its tests need the GPU as its benchmark does, and
        its build where it asks which one is there."""
        if self.project.benchmark.device != "cuda":
            return ()
        gpus = sorted(Path("/dev").glob(GPUS))
        return tuple(str(path) for path in gpus if not path.is_dir())

    def _fixed(self, scratch: Path) -> Path | None:
        """The list of the protected files, beside the scratch folder, for the launcher."""
        names = [n for n in self._protected() if n.isprintable()]
        if not names or len(names) > MOST_FIXED:
            return None
        listing = scratch.parent / "fixed"
        listing.write_text("\n".join(names), encoding="utf-8")
        return listing

    def _protected(self) -> Iterable[str]:
        return (n for n in self.base.files if n not in self.seed.files and n not in self.touched)

    def _changed(self, tree: Path) -> Iterable[str]:
        return (n for n in self._protected() if mark_of(tree / n) != self.base.files[n])

    def require_unchanged(self, tree: Path, who: str) -> None:
        changed = sorted(self._changed(tree))
        if changed:
            more = f" and {len(changed) - 1} more" if len(changed) > 1 else ""
            raise Rejected(
                Verdict.SUSPICIOUS,
                Feedback(summary=f"{who} changed {changed[0]}{more}, which is not the candidate's"),
            )

    def _ending(self, outcome: Outcome, seconds: float) -> tuple[Verdict | None, str]:
        """How a command that did not succeed ended."""
        bounds = self.project.limits
        code, reason = outcome.exit_code or 0, outcome.reason
        if code and _NO_FORK.search(outcome.stderr[-4000:]):
            reason = "processes"
        if reason in _REASONS:
            verdict, words = _REASONS[reason]
            told = {"memory": bounds.memory_gb, "disk": bounds.disk_gb}
            return verdict, words.format(seconds=seconds, processes=bounds.processes, **told)
        if signal := outcome.signal or max(code - 128, 0):  # a shell adds 128
            return Verdict.CRASH, f"was ended by signal {signal}"
        return None, f"ended with exit code {code}"


def _told(ran: Ran) -> str:
    """The last lines of what a command printed, as the end of a sentence."""
    lines = [line for line in ran.text.splitlines() if line.strip()][-12:]
    return "; it said:\n" + "\n".join(lines) if lines else ""


def _readable(paths: Sequence[str]) -> list[str]:
    """The folders that programs of these paths live in, with what an interpreter needs."""
    shown: dict[str, None] = dict.fromkeys(_ALSO_READ)
    for text in paths:
        path = Path(text).expanduser()
        shown[str(path.parent if path.name in {"bin", "Scripts"} else path)] = None
        for python in sorted(path.glob("python3*"))[:4]:
            real = Path(os.path.realpath(python))
            shown[str(real.parent.parent)] = None
    return [p for p in shown if os.path.lexists(p)]


async def _copy(source: Path, target: Path) -> None:
    """Copy what is in a folder with its times; shares blocks where the file system can."""
    await asyncio.to_thread(target.mkdir, parents=True, exist_ok=True)
    process = await asyncio.create_subprocess_exec(
        "cp", "-a", "--reflink=auto", f"{source}/.", str(target),
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        _, told = await process.communicate()
    except asyncio.CancelledError:
        process.kill()
        await process.wait()
        raise
    if process.returncode:
        words = told.decode(errors="replace").strip().splitlines()
        raise EvaluatorError(f"the tree cannot be copied: {words[-1] if words else 'cp failed'}")


def _prune(root: Path) -> None:
    """Forget the built bases that were not used for longest."""
    done = sorted(root.glob("*/done"), key=lambda p: p.stat().st_mtime, reverse=True)
    for path in done[KEPT_BASES:]:
        remove_tree(path.parent)


def search_path(project: Project) -> str:
    own = (os.path.expanduser(p) for p in project.environment.path)  # noqa: PTH111
    return ":".join([*own, SYSTEM_PATH])
