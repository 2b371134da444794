"""The restrictions that the launcher takes, outermost first: namespaces, root, limits, filters."""

# pathlib would take longer to import than the rest of the launcher
# ruff: noqa: PTH100, PTH103, PTH110, PTH112, PTH113, PTH114, PTH115, PTH120, PTH123, PTH211

from __future__ import annotations

import os
import resource

from avo_tui.evaluation.sandbox import hiding, landlock, linux, seccomp, tree

TYPE_CHECKING = False  # `typing` would cost each command 15 ms
if TYPE_CHECKING:
    from typing import Any

    Spec = dict[str, Any]

_NAMESPACES = linux.CLONE_NEWPID | linux.CLONE_NEWIPC | linux.CLONE_NEWUTS
# Users that the launcher, as root, lends to sandboxes: one per launcher, so that RLIMIT_NPROC,
# which does not bind root, counts this sandbox alone. The range is systemd's for dynamic users.
_LENT_USERS = range(61184, 65520)

INSIDE = "/run/avo"
"""Where bubblewrap shows our own modules inside."""


def lent_user(pid: int) -> int:
    """The user a root launcher of process `pid` runs its command as."""
    return _LENT_USERS[pid % len(_LENT_USERS)]


def process_limit(spec: Spec) -> int:
    """RLIMIT_NPROC that leaves the command `processes`; to be asked before anything is unshared.

    Since Linux 5.14 a user namespace counts its own; otherwise the user's others count too.
    """
    user = os.geteuid()
    release = tuple(int(part) for part in os.uname().release.split("-")[0].split(".")[:2])
    alone = user == 0 or (spec["isolation"] != "processes" and release >= (5, 14))
    return int(spec["processes"]) + 2 + (0 if alone else tree.threads_of(user))


def unshare_namespaces(network: bool = False) -> None:
    """New namespaces for the children of this process; with a user namespace unless root.

    `network`: leave them the machine's.
    """
    user, group = os.geteuid(), os.getegid()
    wanted = _NAMESPACES if network else _NAMESPACES | linux.CLONE_NEWNET
    if user == 0:
        try:
            linux.unshare(wanted)
            return
        except OSError:  # root without CAP_SYS_ADMIN, as in most containers
            linux.unshare(wanted | linux.CLONE_NEWUSER)
    else:
        linux.unshare(wanted | linux.CLONE_NEWUSER)
    for name, text in (
        ("setgroups", "deny"),
        ("uid_map", f"{user} {user} 1"),
        ("gid_map", f"{group} {group} 1"),
    ):
        with open(f"/proc/self/{name}", "w") as file:
            file.write(text)


def _bind(source: str, root: str) -> None:
    target = root + source
    if os.path.isdir(source):
        os.makedirs(target, exist_ok=True)
    else:
        os.makedirs(os.path.dirname(target), exist_ok=True)
        if not os.path.lexists(target):
            os.close(os.open(target, os.O_CREAT | os.O_WRONLY, 0o644))
    linux.mount(source, target, None, linux.MS_BIND | linux.MS_REC)


def _hide(target: str) -> None:
    """Puts nothing in the place of a file or folder."""
    if os.path.isdir(target):
        linux.mount("tmpfs", target, "tmpfs", linux.MS_NOSUID, "mode=755,size=64k")
    elif os.path.exists(target):
        linux.mount("/dev/null", target, None, linux.MS_BIND)


def enter_root(spec: Spec) -> None:
    """Makes a root of the readable paths, the devices, /proc and the scratch folder only."""
    root = spec["root"]
    linux.unshare(linux.CLONE_NEWNS)  # here, so that the launcher keeps its view
    linux.mount("none", "/", None, linux.MS_REC | linux.MS_PRIVATE)
    linux.mount("tmpfs", root, "tmpfs", linux.MS_NOSUID, "mode=755,size=4m")
    for source in spec["read"]:
        if not os.path.exists(source):
            continue
        if os.path.islink(source):  # such as /lib → usr/lib
            os.makedirs(os.path.dirname(root + source), exist_ok=True)
            os.symlink(os.readlink(source), root + source)
        else:
            _bind(source, root)
    for source in spec["read"]:
        for path in hiding.hidden_below(source, spec["hidden"]):
            _hide(root + path)
    for source in hiding.kept(spec["read"], spec["hidden"]):
        _bind(source, root)
    os.makedirs(root + "/proc", exist_ok=True)
    os.makedirs(root + spec["scratch"], exist_ok=True)
    linux.set_mount_attributes(root, linux.MOUNT_ATTR_RDONLY | linux.MOUNT_ATTR_NOSUID)
    # The one writable place is bound after the rest became read-only.
    linux.mount(spec["outer_scratch"], root + spec["scratch"], None, linux.MS_BIND | linux.MS_REC)
    if spec["fixed"]:
        _fix(spec["fixed"], root + spec["scratch"])
    _mount_proc(root)
    linux.pivot_root(root)


def _fix(names: str, scratch: str) -> None:
    """Mounts files of the scratch folder over themselves, read-only."""
    with open(names, "rb") as file:
        for line in file.read().split(b"\n"):
            path = f"{scratch}/{os.fsdecode(line)}"
            if line and os.path.isfile(path) and not os.path.islink(path):
                linux.mount(path, path, None, linux.MS_BIND)
                linux.set_mount_attributes(path, linux.MOUNT_ATTR_RDONLY | linux.MOUNT_ATTR_NOSUID)


def _mount_proc(root: str) -> bool:
    """The namespace's own /proc. A container that masks parts of its /proc forbids a new one."""
    try:
        flags = linux.MS_NOSUID | linux.MS_NODEV | linux.MS_NOEXEC
        linux.mount("proc", root + "/proc", "proc", flags)
    except OSError:
        return False  # compilers and runners do without
    return True


def bubblewrap_command(spec: Spec) -> list[str]:
    """bubblewrap with the same view, and our own launcher inside for the limits and filters."""
    command = [spec["bubblewrap"], "--die-with-parent", "--proc", "/proc"]
    command += ["--unshare-pid", "--unshare-ipc", "--unshare-uts"]
    if not spec["network"]:
        command.append("--unshare-net")
    if os.geteuid() == 0:  # the launcher inside still has to become the lent user
        command += ["--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID"]
    else:
        command.append("--unshare-user")
    shown = spec["read"] + [p for p in spec["interpreter"] if p not in spec["read"]]
    for parent in {os.path.dirname(path): None for path in shown}:
        if parent != "/":  # bubblewrap would make it for its own user alone
            command += ["--dir", parent]
    for path in shown:
        if os.path.islink(path):
            command += ["--symlink", os.readlink(path), path]
        elif path in spec["devices"]:
            command += ["--dev-bind-try", path, path]
        else:
            command += ["--ro-bind-try", path, path]
    for path in (p for source in shown for p in hiding.hidden_below(source, spec["hidden"])):
        if os.path.isdir(path):
            command += ["--tmpfs", path]
        elif os.path.exists(path):
            command += ["--ro-bind", "/dev/null", path]
    for path in hiding.kept(shown, spec["hidden"]):
        command += ["--ro-bind", path, path]
    modules = "/avo_tui/evaluation/sandbox"
    command += ["--dir", "/run", "--dir", INSIDE, "--dir", INSIDE + "/avo_tui"]
    command += ["--dir", INSIDE + "/avo_tui/evaluation"]
    command += ["--ro-bind", os.path.dirname(os.path.abspath(__file__)), INSIDE + modules]
    command += ["--bind", spec["outer_scratch"], spec["scratch"]]
    inner = {**spec, "inside": True}
    return [*command, "--", *python_command(spec["python"], INSIDE, inner)]


def python_command(python: str, folder: str, spec: Spec) -> list[str]:
    """The command line of a launcher; `folder` holds the package `avo_tui`."""
    import marshal

    start = (
        f"import sys; sys.path.append({folder!r}); "
        "from avo_tui.evaluation.sandbox.launch import main; main(sys.argv[1])"
    )
    return [python, "-I", "-S", "-c", start, marshal.dumps(spec).hex()]


def _limit(kind: int, value: int | None) -> None:
    if value is None:
        return
    _, hard = resource.getrlimit(kind)
    if hard != resource.RLIM_INFINITY:
        value = min(value, hard)
    resource.setrlimit(kind, (value, value))


def _drop_root(spec: Spec) -> int | None:
    """Becomes the lent user if this is real root; None where that is not possible."""
    if os.geteuid() != 0:
        return None
    user = int(spec["user"])
    try:
        os.setgroups([])
        os.setresgid(user, user, user)
        os.setresuid(user, user, user)
    except OSError:
        return None  # a user namespace that maps root alone
    return user


def _is_open_file(path: str) -> bool:
    return os.path.islink(path) and os.readlink(path).startswith("/proc/self/fd")


def restrict(spec: Spec) -> dict[str, object]:
    """Takes the last restrictions in the process that becomes the command; says which hold."""
    if spec["cpu"] is not None:
        cpu = spec["cpu"]
        os.sched_setaffinity(0, {cpu} if isinstance(cpu, int) else cpu)
    user = _drop_root(spec)
    _limit(resource.RLIMIT_CORE, 0)
    _limit(resource.RLIMIT_AS, spec["address_bytes"])
    _limit(resource.RLIMIT_FSIZE, spec["file_bytes"])
    _limit(resource.RLIMIT_NOFILE, spec["open_files"])
    _limit(resource.RLIMIT_CPU, spec["cpu_seconds"])
    _limit(resource.RLIMIT_NPROC, spec["process_limit"])
    _limit(resource.RLIMIT_MEMLOCK, 64 * 1024)
    os.umask(0o077)
    linux.prctl(linux.PR_SET_NO_NEW_PRIVS, 1)
    abi = 0
    if spec["landlock"]:
        # /dev/stdout and its kind lead to what is open already
        read = [p for p in spec["read"] if p not in spec["devices"] and not _is_open_file(p)]
        if spec["isolation"] != "processes":
            read.append("/proc")
        elif spec["hidden"]:
            asked = hiding.kept(read, spec["hidden"])
            read = [shown for path in read for shown in hiding.without(path, spec["hidden"])]
            read += asked
        write = [spec["scratch"]]
        gpu = any(path.startswith("/dev/nvidia") for path in spec["devices"])
        if gpu and spec["isolation"] != "processes":
            # CUDA names its threads in /proc/self/task, and allocates nothing where it may not
            write.append("/proc")
        abi = landlock.restrict(read, write, spec["devices"], spec["network"])
    filtered = spec["seccomp"] and seccomp.restrict(spec["allowed_calls"])
    return {"user": user if user is not None else "", "landlock": abi, "seccomp": int(filtered)}
