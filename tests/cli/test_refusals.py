"""Options that cannot be: one sentence that says what to do, before anything is made or changed."""

import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from avo_tui import given_text
from avo_tui.cli.errors import sentence
from avo_tui.store import StoreError
from tests.cli.command_line import Result, make_session

Avo = Callable[..., Result]


def test_a_core_that_is_not_there_is_said_before_a_session_is_made(
    avo: Avo, own_places: Path
) -> None:
    refused = avo("run", "attention_cpu", "--operator", "tuner", "--headless", "--name", "dv",
                  "--devices", "4099")  # fmt: skip
    assert refused.code == 1 and "core 4099 is not there; there are 0" in refused.err
    assert not (own_places / "dv").exists()


@pytest.mark.parametrize("port", ["abc", "70000", "-1"])
def test_a_scheduler_without_a_port_is_said_in_our_words(avo: Avo, port: str) -> None:
    refused = avo("run", "attention_cpu", "--headless", "--evaluator", f"dask://h:{port}")
    assert refused.code == 1 and "write a number from 1 to 65535" in refused.err


def test_a_seed_that_no_generator_takes(avo: Avo, tmp_path: Path) -> None:
    refused = avo("task", "inputs", "attention_cpu", "--seed", "9" * 26, "--to", str(tmp_path))
    assert refused.code == 2 and "'--seed'" in refused.err and "unexpected" not in refused.err


@pytest.mark.parametrize("command", [("sessions",), ("status", "x"), ("doctor", "x")])
def test_a_folder_of_sessions_that_is_a_loop_of_links(
    command: tuple[str, ...], avo: Avo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop = tmp_path / "loop"
    loop.symlink_to(loop)
    monkeypatch.setenv("AVO_SESSIONS", str(loop))
    listed = avo(*command)
    assert "unexpected" not in listed.err
    assert "loop" in "".join((listed.out + listed.err).split())
    with pytest.raises(StoreError, match="loop is no folder"):
        make_session(loop)


@pytest.mark.parametrize("variable", ["AVO_SESSIONS", "AVO_CONFIG", "AVO_KERNELS"])
def test_a_home_folder_of_nobody(
    variable: str, avo: Avo, own_places: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, "~nobody-of-this-name/x")
    refused = avo("tasks") if variable == "AVO_KERNELS" else avo("sessions")
    assert refused.code == 1 and "~nobody-of-this-name/x: there is no" in refused.err
    assert "unexpected" not in refused.err


def test_what_is_no_unicode_is_one_sentence(avo: Avo, own_places: Path, tmp_path: Path) -> None:
    garbage = tmp_path / "garbage"
    garbage.write_bytes(b"\x83\x00\xff")
    refused = avo("run", "attention_cpu", "--headless", "--name", "q", "--recording", str(garbage))
    assert refused.code == 1 and "is not UTF-8" in refused.err and "unexpected" not in refused.err
    assert not (own_places / "q").exists()


def given(kind: str, folder: Path) -> Path:
    """A path that is no text file."""
    path = folder / kind.replace(" ", "_")
    if kind == "a pipe":
        os.mkfifo(path)
    elif kind == "an endless device":
        return Path("/dev/zero")
    elif kind == "no UTF-8":
        path.write_bytes(b"\x83\x00\xff")
    elif kind == "huge":
        with path.open("wb") as file:
            file.truncate(given_text.MOST + 1)
    elif kind == "memory":
        return Path("/proc/self/mem")
    return path


@pytest.mark.timeout(120)
@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("a pipe", "is a pipe or a device: give a file"),
        ("an endless device", "is a pipe or a device: give a file"),
        ("no UTF-8", "is not UTF-8 text"),
        ("huge", "is longer than 64 MiB"),
        ("memory", "/proc/self/mem: Input/output error"),
    ],
)
def test_what_is_no_text_file_is_refused_and_not_waited_for(
    avo: Avo, own_places: Path, tmp_path: Path, kind: str, words: str
) -> None:
    path = given(kind, tmp_path)
    with pytest.raises((ValueError, OSError)) as refused:
        given_text.read_given_text(path)
    assert words in sentence(refused.value)
    suite = avo("suite", "run", str(path), "--name", "mine")
    assert suite.code == 1 and words in suite.err
    task = avo("task", "from", str(path), "--name", "mine")
    assert task.code == 1 and str(path) in task.err and "unexpected" not in task.err


def test_a_suite_of_which_nothing_could_be_begun_fails(
    avo: Avo, own_places: Path, tmp_path: Path
) -> None:
    problems = tmp_path / "problems.txt"
    problems.write_text("no_such_task\n")
    refused = avo("suite", "run", str(problems), "--name", "mine")
    assert refused.code == 1 and "there is no task 'no_such_task'" in refused.err
    (own_places / ".suite-mine.json").write_text('{"name"')
    torn = avo("suite", "table", "mine")
    assert torn.code == 1 and "remove it, and `avo suite run` begins anew" in torn.err


@pytest.mark.parametrize("command", [("run",), ("campaign", "run")])
def test_an_empty_place_to_measure_is_not_this_machine(
    command: tuple[str, ...], avo: Avo, own_places: Path
) -> None:
    refused = avo(*command, "attention_cpu", "--name", "mine", "--evaluator", "")
    assert refused.code == 2 and "name a place to measure" in refused.err
    assert list(own_places.iterdir()) == []


def test_an_empty_name_trusts_no_folder(avo: Avo) -> None:
    refused = avo("task", "trust", "")
    assert refused.code == 2 and "name a folder" in refused.err


@pytest.mark.parametrize("port", ["-1", "65536", "9" * 26])
def test_a_port_that_there_is_not(avo: Avo, port: str) -> None:
    for command in ("web", "metrics"):
        refused = avo(command, f"--port={port}")
        assert refused.code == 2 and "Invalid value for '--port'" in refused.err


def test_a_full_disk_behind_standard_output_is_one_sentence() -> None:
    command = [sys.executable, "-m", "avo_tui.cli", "tasks", "--json"]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr == "avo: No space left on device\n"


@pytest.mark.timeout(120)
def test_a_pipe_as_a_candidate_is_refused_and_not_waited_for(
    avo: Avo, done: Path, tmp_path: Path
) -> None:
    pipe = tmp_path / "kernel.cpp"
    os.mkfifo(pipe)
    refused = avo("submit", "done", str(pipe))
    assert refused.code == 1 and "is a pipe or a device" in refused.err


@pytest.mark.parametrize("define", ["TILE=", "TILE=32,", "TILE=,32", "TILE= "])
def test_a_macro_without_a_value_is_refused(
    avo: Avo, own_places: Path, tmp_path: Path, done: Path, define: str
) -> None:
    mine = tmp_path / "kernel.cpp"
    mine.write_text("int x;\n")
    refused = avo("bench", "done", str(mine), "-D", define)
    assert refused.code == 2 and "names no value" in " ".join(refused.err.split())


def test_an_address_that_cannot_be_listened_on(avo: Avo) -> None:
    pytest.importorskip("prometheus_client")
    for host in ("host.invalid", "x" * 300):
        odd = avo("metrics", "--host", host, "--port", "0")
        assert odd.code == 1 and "is no address of this machine; --host takes one" in odd.err
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        refused = avo("metrics", "--port", port)
    assert refused.code == 1 and f"port {port} is taken by another program" in refused.err


def test_an_export_names_the_place_that_was_typed(avo: Avo, done: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for place in ("/proc/x", str(tmp_path / "file" / "x")):
        refused = avo("export", "done", "--as", "html", "--to", place)
        assert refused.code == 1 and f"{place} cannot be made" in refused.err
        assert "/tmp" not in refused.err.replace(str(tmp_path), "")


def test_a_new_task_says_how_it_is_found(
    avo: Avo, own_places: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "mine"
    refused = avo("task", "new", "attention_cpu", "--to", str(folder))
    assert refused.code == 1 and "there is a task attention_cpu already" in refused.err
    assert not folder.exists()
    written = avo("task", "new", "found_by_its_folder", "--to", str(folder))
    assert written.code == 0
    line = written.out.splitlines()[-1]
    assert line.endswith(f"export AVO_KERNELS={folder.resolve()}")
    monkeypatch.setenv("AVO_KERNELS", line.rpartition("=")[2])
    assert "found_by_its_folder" in avo("tasks").out


def test_a_session_without_a_seat_says_so(avo: Avo, own_places: Path) -> None:
    make_session(own_places, "tuned", "tuner")
    for command in (("seat", "tuned"), ("seat", "tuned", "recall"), ("mcp", "tuned")):
        refused = avo(*command)
        assert refused.code == 1 and "has no seat: its operator is tuner" in refused.err


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--quick", "--pairs", "2"), "--quick measures no pairs"),
        (("--seconds", "2"), "belong to --quick"),
        (("--configuration", "full-256"), "belong to --quick"),
    ],
)
def test_options_of_the_two_ways_to_bench_do_not_mix(
    avo: Avo, tmp_path: Path, done: Path, options: tuple[str, ...], words: str
) -> None:
    mine = tmp_path / "kernel.cpp"
    mine.write_text("int x;\n")
    refused = avo("bench", "done", str(mine), *options)
    assert refused.code == 1 and words in refused.err


def test_doctor_tells_of_an_operator_in_the_settings_that_there_is_not(
    avo: Avo, tmp_path: Path
) -> None:
    (tmp_path / "config.toml").write_text('operator = "nonsense"\n')
    told = avo("doctor", "--json")
    (row,) = [row for row in told.json["findings"] if row["what"] == "settings"]
    assert told.code == 1 and row["level"] == "fail" and "nonsense" in row["sentence"]
    assert row["sentence"].startswith(f"{tmp_path / 'config.toml'}: operator:")
