"""The sandbox holds: nothing is read, written, reached or left running that must not be."""

import asyncio
import contextlib
import ctypes
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from avo_tui.evaluation.sandbox import landlock
from avo_tui.evaluation.sandbox.isolation_level import Level
from avo_tui.evaluation.sandbox.policy import (
    Isolation,
    Job,
    Limits,
    Outcome,
    SandboxError,
    bubblewrap,
)
from avo_tui.evaluation.sandbox.run import Sandbox
from avo_tui.evaluation.sandbox.scratch import sweep

ROOT = Path(__file__).resolve().parents[2]


def _levels() -> list[object]:
    absent = pytest.mark.skipif(bubblewrap() is None, reason="bubblewrap is not installed")
    marks = {Isolation.BUBBLEWRAP: [absent]}
    return [pytest.param(kind, marks=marks.get(kind, []), id=kind) for kind in Isolation]


@pytest.fixture(params=_levels())
async def sandbox(request: pytest.FixtureRequest, scratch_base: Path) -> Sandbox:
    sandbox = Sandbox(allow_weak=True, isolation=request.param)
    try:
        level = await sandbox.level()
    except SandboxError as error:
        words = (bubblewrap() or "false", "--unshare-all", "--ro-bind", "/", "/", "true")
        works = not subprocess.run(words, capture_output=True, check=False).returncode
        assert not works or request.param is not Isolation.BUBBLEWRAP, error
        pytest.skip(str(error))
    if request.param is Isolation.PROCESSES and not level.landlock:
        pytest.skip("neither namespaces nor Landlock")
    return sandbox


async def shell(sandbox: Sandbox, script: str, **limits: float) -> Outcome:
    with sandbox.scratch() as folder:
        bounds = Limits(**{"seconds": 60.0, **limits})  # type: ignore[arg-type]
        return await sandbox.run(
            Job(command=("/bin/sh", "-c", script), scratch=folder, limits=bounds)
        )


async def python(sandbox: Sandbox, script: str, **limits: float) -> Outcome:
    """Runs a script with the system's Python, which the sandbox can see."""
    system = shutil.which("python3", path="/usr/bin:/bin")
    if system is None:
        pytest.skip("no system Python")
    with sandbox.scratch() as folder:
        (folder / "script.py").write_text(script)
        bounds = Limits(**{"seconds": 60.0, **limits})  # type: ignore[arg-type]
        command = (system, "-I", "-S", "script.py")
        return await sandbox.run(Job(command=command, scratch=folder, limits=bounds))


async def until(condition: Callable[[], object]) -> bool:
    """True once the condition holds; False where it does not come on any machine."""
    deadline = time.monotonic() + 120
    while not condition():
        if time.monotonic() > deadline:
            return False
        await asyncio.sleep(0.05)
    return True


async def gone(marker: str) -> bool:
    """True once no process with the marker in its command line is left."""
    return await until(lambda: not _processes(marker))


def _processes(marker: str) -> list[str]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
                if marker in line and "sleep" in line.split("/")[-1][:6]:
                    found.append(line)
    return found


async def test_runs_in_an_empty_environment(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-secret-of-the-test")
    outcome = await shell(sandbox, "env; echo hello >file; cat file; exit 7")
    assert outcome.exit_code == 7 and outcome.reason == "exited"
    assert "hello" in outcome.stdout
    assert "secret" not in outcome.stdout


async def test_inherits_no_descriptor(sandbox: Sandbox) -> None:
    """With that of the launcher's reports it could say itself how it ended."""
    script = """
import os
for number in range(3, 256):
    try:
        print(number, os.fstat(number))
    except OSError:
        continue
"""
    outcome = await python(sandbox, script)
    assert outcome.ok and outcome.stdout == "", outcome.stdout


def test_landlock_is_found_where_the_kernel_has_it() -> None:
    asked = ctypes.CDLL(None).syscall(444, None, 0, 1)
    assert landlock.version() == max(asked, 0)


async def test_the_lent_user_has_a_name(sandbox: Sandbox) -> None:
    """It is in no list of users, and torch asks for a name where its caches begin."""
    outcome = await python(sandbox, "import getpass; print(getpass.getuser())")
    assert outcome.ok and outcome.stdout.strip() == "candidate"


async def test_reads_no_foreign_file(sandbox: Sandbox, tmp_path: Path) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text("the treasure is under the tree")
    secret.chmod(0o644)
    places = [secret, Path.home(), ROOT / "pyproject.toml", Path("/etc/passwd")]
    script = "; ".join(f"cat '{p}'; ls '{p}'" for p in places)
    outcome = await shell(sandbox, script + "; cat /proc/1/environ /proc/*/environ; echo done")
    assert "treasure" not in outcome.stdout
    assert "root:" not in outcome.stdout and "[project]" not in outcome.stdout
    assert outcome.stdout.strip().endswith("done")


async def test_writes_nowhere_but_in_its_scratch(sandbox: Sandbox, tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    targets = [tmp_path / "x", Path("/tmp/avo-test-trespass"), Path("/dev/shm/avo-test-trespass")]
    script = "; ".join(f"echo x >'{t}'" for t in targets)
    outcome = await shell(sandbox, f"{script}; echo ok >here; cat here")
    assert outcome.stdout == "ok\n"
    assert not any(t.exists() for t in targets)


async def test_names_its_threads_where_it_has_a_gpu(sandbox: Sandbox) -> None:
    """CUDA does, and allocates nothing where it is refused; others write nothing in /proc."""
    level = await sandbox.level()
    if level.isolation is Isolation.PROCESSES:
        pytest.skip("only a /proc of its own is opened")
    for devices, allowed in (((), not level.landlock), (("/dev/nvidiactl",), True)):
        with sandbox.scratch() as folder:
            outcome = await sandbox.run(
                Job(
                    command=("/bin/sh", "-c", "echo worker > /proc/self/task/$$/comm"),
                    scratch=folder,
                    limits=Limits(seconds=60.0),
                    devices=devices,
                )
            )
        assert outcome.ok == allowed, (devices, outcome.stderr)


async def test_reaches_no_network(sandbox: Sandbox) -> None:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        script = (
            "import socket\n"
            f"socket.create_connection(('127.0.0.1', {server.getsockname()[1]}), 2)\n"
        )
        outcome = await python(sandbox, script)
        server.setblocking(False)
        with pytest.raises(BlockingIOError):
            server.accept()
    assert outcome.exit_code == 1 and "PermissionError" in outcome.stderr


async def test_kills_nothing_outside(sandbox: Sandbox) -> None:
    victim = subprocess.Popen(["sleep", "60"])
    try:
        await shell(sandbox, f"kill -9 {victim.pid} {os.getpid()} $PPID; kill -9 -1")
        assert victim.poll() is None
    finally:
        victim.kill()
        victim.wait()


_DETACHED = """
import os, time
begun, inside = os.pipe()
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.execv('/bin/sleep', ['sleep', '{marker}'])
    os._exit(0)
os.close(inside)
os.wait()
os.read(begun, 1)  # the end of the pipe: the grandchild has become its program
{then}
"""


@pytest.mark.parametrize(
    ("then", "reason"),
    [("pass", "exited"), ("time.sleep(600)", "time"), ("os.abort()", "signalled")],
)
async def test_ends_a_grandchild_that_left_its_session(
    sandbox: Sandbox, then: str, reason: str
) -> None:
    marker = f"98{os.getpid()}{time.monotonic_ns() % 10**6}"
    seconds = 2 if reason == "time" else 120
    outcome = await python(sandbox, _DETACHED.format(marker=marker, then=then), seconds=seconds)
    assert outcome.reason == reason
    assert await gone(marker)


async def test_a_cancellation_ends_the_whole_tree(sandbox: Sandbox) -> None:
    marker = f"97{os.getpid()}{time.monotonic_ns() % 10**6}"
    script = _DETACHED.format(marker=marker, then="time.sleep(600)")
    task = asyncio.create_task(python(sandbox, script, seconds=600))
    assert await until(lambda: task.done() or _processes(marker)), "the grandchild never began"
    assert not task.done()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await gone(marker)


async def test_a_cancellation_while_it_starts_ends_the_whole_tree(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The launcher may be at work before its start is known of here."""
    marker = f"93{os.getpid()}{time.monotonic_ns() % 10**6}"
    real, known = asyncio.create_subprocess_exec, asyncio.Event()

    async def late(*words: str, **how: object) -> asyncio.subprocess.Process:
        process = await real(*words, **how)  # type: ignore[arg-type]
        try:
            await known.wait()
        except asyncio.CancelledError:
            process.kill()  # as asyncio does
            raise
        return process

    await sandbox.level()
    monkeypatch.setattr(asyncio, "create_subprocess_exec", late)
    task = asyncio.create_task(shell(sandbox, f"sleep {marker} & sleep {marker}", seconds=600))
    assert await until(lambda: len(_processes(marker)) >= 2), "the command never began"
    task.cancel()
    await asyncio.sleep(0)
    known.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await gone(marker)


async def test_the_end_of_the_worker_ends_the_tree(scratch_base: Path) -> None:
    """A worker killed with SIGKILL closes the lifeline; the launcher does the rest."""
    marker = f"96{os.getpid()}{time.monotonic_ns() % 10**6}"
    script = (
        "import asyncio\n"
        "from avo_tui.evaluation.sandbox.run import Sandbox\n"
        "from avo_tui.evaluation.sandbox.policy import Job\n"
        "async def main():\n"
        "    sandbox = Sandbox()\n"
        "    with sandbox.scratch() as folder:\n"
        f"        words = ('/bin/sh', '-c', 'setsid sleep {marker} & sleep {marker}')\n"
        "        await sandbox.run(Job(command=words, scratch=folder))\n"
        "asyncio.run(main())\n"
    )
    worker = subprocess.Popen([sys.executable, "-c", script], cwd=ROOT)
    try:
        assert await until(lambda: len(_processes(marker)) >= 2), "the command never began"
    finally:
        worker.kill()
        worker.wait()
    assert await gone(marker)
    assert sweep() == 1


async def test_the_end_of_the_launcher_ends_what_it_confined(sandbox: Sandbox) -> None:
    """Process 1 of the namespace dies with it, and with that whatever is inside."""
    if (await sandbox.level()).isolation is not Isolation.NAMESPACES:
        pytest.skip("only namespaces have a process of ours inside")
    marker = f"92{os.getpid()}{time.monotonic_ns() % 10**6}"
    script = f"setsid sleep {marker} & sleep {marker}"
    task = asyncio.create_task(shell(sandbox, script, seconds=600))
    assert await until(lambda: len(_processes(marker)) >= 2), "the command never began"
    (launcher,) = psutil.Process().children()
    inside = launcher.children(recursive=True)
    launcher.kill()
    _, alive = await asyncio.to_thread(psutil.wait_procs, inside, 30)
    for process in alive:
        process.kill()
    assert not alive and not (await task).ok


async def test_many_processes_are_refused(sandbox: Sandbox) -> None:
    marker = f"95{os.getpid()}{time.monotonic_ns() % 10**6}"
    script = f"i=0; while [ $i -lt 200 ]; do sleep {marker} & i=$((i+1)); done; wait"
    outcome = await shell(sandbox, script, processes=12)
    assert not outcome.ok and outcome.reason != "time"
    assert outcome.reason == "processes" or "fork" in outcome.stderr.lower()
    assert await gone(marker)


async def test_memory_is_bounded(sandbox: Sandbox) -> None:
    # it takes what is too much and keeps it: whenever someone looks, it is seen
    script = "import time\nx = bytearray(200 << 20)\ntime.sleep(600)\n"
    outcome = await python(sandbox, script, memory_bytes=100 << 20, seconds=120)
    assert outcome.reason == "memory"


async def test_address_space_is_bounded(sandbox: Sandbox) -> None:
    outcome = await python(sandbox, "bytearray(1 << 40)", address_bytes=1 << 30)
    assert "MemoryError" in outcome.stderr


async def test_files_are_bounded(sandbox: Sandbox) -> None:
    script = (
        "for i in 1 2 3 4 5 6 7 8; do head -c 4000000 /dev/zero >f$i || exit 5; done; sleep 600"
    )
    outcome = await shell(sandbox, script, scratch_bytes=20 << 20, seconds=120)
    assert outcome.reason == "scratch"
    # what is over before anybody has looked counts as well
    outcome = await shell(sandbox, "head -c 3000000 /dev/zero >f", scratch_bytes=2 << 20)
    assert outcome.reason == "scratch"
    one = await shell(sandbox, "head -c 9000000 /dev/zero >f", file_bytes=1 << 20)
    assert not one.ok


async def test_endless_output_is_cut_and_ended(sandbox: Sandbox) -> None:
    outcome = await shell(sandbox, "yes", output_bytes=3 << 20, keep_bytes=1000)
    assert outcome.reason == "output"
    assert len(outcome.stdout) < 2000 and "left out" in outcome.stdout


async def test_time_is_bounded(sandbox: Sandbox) -> None:
    # the launcher says so itself; one that forgets is ended by the worker, with another reason
    outcome = await shell(sandbox, "while :; do :; done", seconds=0.5)
    assert outcome.reason == "time"


async def test_one_run_leaves_nothing_for_the_next(sandbox: Sandbox) -> None:
    first = await shell(sandbox, "echo 42 >note; mkdir -m 0 closed; cat note")
    assert first.stdout == "42\n"
    second = await shell(sandbox, "ls")
    assert second.ok and second.stdout == ""


async def test_a_program_that_is_not_there_is_an_error(sandbox: Sandbox) -> None:
    with sandbox.scratch() as folder:
        outcome = await sandbox.run(Job(command=("./nothing",), scratch=folder))
    assert outcome.reason == "error" and "nothing" in outcome.error


async def test_says_what_is_in_force(sandbox: Sandbox) -> None:
    level = await sandbox.level()
    text = level.describe()
    assert "limits" in text
    assert (str(level.isolation) in text) == (level.isolation is not Isolation.PROCESSES)


async def test_refuses_by_default_what_does_not_confine(scratch_base: Path) -> None:
    sandbox = Sandbox(isolation=Isolation.PROCESSES)
    sandbox.landlock = sandbox.seccomp = False
    with pytest.raises(SandboxError, match=r"cannot confine.*files.*bubblewrap.*allow-weak"):
        await sandbox.level()
    allowed = Sandbox(allow_weak=True, isolation=Isolation.PROCESSES)
    allowed.landlock = allowed.seccomp = False
    level = await allowed.level()
    assert not level.confined and level.describe().endswith("(weak)")
    assert level.warning.startswith("weak sandbox") and "files" in level.warning
    assert (await shell(allowed, "echo ran")).stdout == "ran\n"


async def test_goes_on_without_landlock_where_namespaces_confine(scratch_base: Path) -> None:
    sandbox = Sandbox(isolation=Isolation.NAMESPACES)
    sandbox.landlock = False
    try:
        level = await sandbox.level()
    except SandboxError as error:
        pytest.skip(str(error))
    assert level.landlock == 0 and level.confined and not level.warning
    outcome = await shell(sandbox, "cat /etc/passwd; ls /home; echo done")
    assert outcome.stdout == "done\n"


def test_a_level_is_confined_by_namespaces_or_landlock() -> None:
    def level(kind: Isolation, abi: int, seccomp: bool) -> Level:
        return Level(kind, abi, seccomp, "", 1.0)

    assert level(Isolation.NAMESPACES, 0, False).confined
    assert level(Isolation.PROCESSES, 7, True).confined
    assert not level(Isolation.PROCESSES, 3, True).confined
    assert not level(Isolation.PROCESSES, 7, False).confined


@pytest.mark.skipif(os.geteuid() != 0, reason="already an ordinary user")
@pytest.mark.parametrize("kind", list(Isolation))
def test_holds_for_an_ordinary_user(kind: Isolation, tmp_path: Path) -> None:
    """The same as nobody, with the system's Python, for whom no root helps."""
    system = shutil.which("python3", path="/usr/bin:/bin")
    if system is None or not os.access(ROOT, os.X_OK) or sys.version_info[:2] < (3, 11):
        pytest.skip("no system Python to run as another user")
    version = subprocess.run(
        [system, "-c", "import sys; print(sys.version_info >= (3, 11))"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    if version.stdout.strip() != "True":
        pytest.skip("the system's Python is too old")
    marker = f"94{os.getpid()}{time.monotonic_ns() % 10**6}"
    script = f"""
import asyncio, json, sys
sys.path.append({str(ROOT)!r})
from avo_tui.evaluation.sandbox.run import Sandbox
from avo_tui.evaluation.sandbox.policy import Isolation, Job, Limits
async def main():
    sandbox = Sandbox(isolation=Isolation({str(kind)!r}))
    level = await sandbox.level()
    with sandbox.scratch() as folder:
        async def run(script, **limits):
            o = await sandbox.run(Job(command=("/bin/sh", "-c", script), scratch=folder,
                                      limits=Limits(**limits)))
            return [o.reason, o.exit_code, o.stdout, o.stderr[-200:]]
        print(json.dumps({{
            "confined": level.confined,
            "read": await run("cat /etc/passwd; ls /root /home /tmp; echo x >/tmp/avo-test-nobody"),
            "tree": await run("(setsid sleep {marker} &) ; sleep 0.1"),
            "many": await run("i=0; while [ $i -lt 99 ]; do sleep {marker} & i=$((i+1)); done",
                              seconds=60, processes=12),
        }}))
asyncio.run(main())
"""
    done = subprocess.run(
        [system, "-c", script],
        capture_output=True, text=True, timeout=400, user=65534, group=65534, extra_groups=[],
        env={"PATH": "/usr/bin:/bin"}, cwd="/",
    )  # fmt: skip
    if "no sandbox works" in done.stderr:
        pytest.skip("this machine gives ordinary users none of it")
    assert done.returncode == 0, done.stderr
    facts = json.loads(done.stdout)
    assert facts["confined"]
    assert facts["read"][2] == "" and not Path("/tmp/avo-test-nobody").exists()
    assert facts["tree"][0] == "exited"
    assert facts["many"][0] == "processes" or "fork" in facts["many"][3].lower()
    assert not _processes(marker)


async def test_what_is_hidden_is_not_there_wherever_it_is_installed(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    """The program and its tasks inside a folder that a job may read, and a link to that folder."""
    installed = tmp_path / "lib"
    for name in ("tasks/secret/task.py", "tasks/asked.h", "secret.py", "include/useful.h"):
        (installed / name).parent.mkdir(parents=True, exist_ok=True)
        (installed / name).write_text(f"the text of {name}")
    for path in (installed, *installed.rglob("*")):
        path.chmod(0o755)
    sandbox.hidden = (*sandbox.hidden, str(installed / "tasks"), str(installed / "secret.py"))
    script = (
        "cat lib/tasks/secret/task.py lib/secret.py lib/../lib/tasks/secret/task.py; "
        "ls lib/tasks; cat lib/include/useful.h lib/tasks/asked.h"
    ).replace("lib/", f"{installed}/")
    with sandbox.scratch() as folder:
        read = (str(installed), str(installed / "tasks" / "asked.h"))
        job = Job(command=("/bin/sh", "-c", script), scratch=folder, read=read)
        outcome = await sandbox.run(job)
    assert "the text of include/useful.h" in outcome.stdout, outcome
    assert "the text of tasks/asked.h" in outcome.stdout, outcome
    assert "secret" not in outcome.stdout, outcome


async def test_a_link_in_a_folder_that_is_shown_may_be_named(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    """Such as /usr/local/cuda in /usr, also where it leads out of the folder."""
    shown, elsewhere = tmp_path / "shown", tmp_path / "elsewhere"
    for folder in (shown, elsewhere):
        folder.mkdir()
    (elsewhere / "tool").write_text("the tool")
    (shown / "link").symlink_to(elsewhere)
    for path in (tmp_path, shown, elsewhere):
        path.chmod(0o755)
    with sandbox.scratch() as folder:
        job = Job(
            command=("/bin/cat", f"{shown}/link/tool"),
            scratch=folder,
            read=(str(shown), str(shown / "link")),
        )
        outcome = await sandbox.run(job)
    assert outcome.stdout == "the tool", outcome


async def test_no_compiler_sees_the_program_where_it_is_installed_beside_its_headers(
    sandbox: Sandbox,
) -> None:
    package = ROOT / "avo_tui"
    with sandbox.scratch() as folder:
        job = Job(
            command=("/bin/cat", str(package / "settings.py"), str(ROOT / "pyproject.toml")),
            scratch=folder,
            read=(str(ROOT),),
        )
        outcome = await sandbox.run(job)
    assert "[project]" in outcome.stdout and "Settings" not in outcome.stdout, outcome.stderr
