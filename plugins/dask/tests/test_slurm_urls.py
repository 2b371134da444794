"""What the URL of jobs of Slurm may say; no Slurm is needed."""

from __future__ import annotations

import sys
from urllib.parse import parse_qsl, urlsplit

import pytest
from avo_tui_dask.slurm import JobOptions, job_options

from avo_tui.evaluation.workers.ports import SiteRequest


def options(url: str, kind: str = "cpu", devices: tuple[str, ...] = ("",)) -> JobOptions:
    parts = urlsplit(url)
    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    return job_options(parts, SiteRequest("task", kind, devices, query))


def test_what_is_not_said_is_left_to_slurm() -> None:
    assert options("dask+slurm:") == JobOptions()
    assert options("dask+slurm://?workers=3") == JobOptions(workers=3)


def test_all_that_may_be_said() -> None:
    url = (
        "dask+slurm://gpu?workers=4&cores=8&memory=32GB&walltime=1-04:00:00&account=lab&gres=gpu:h200:1"
        "&qos=long&constraint=h200%26nvme&interface=ib0&python=/opt/venv/bin/python&shared=/shared/avo"
    )
    assert options(url, "cuda") == JobOptions(
        workers=4, partition="gpu", cores=8, memory="32GB", walltime="1-04:00:00", account="lab",
        interface="ib0", python="/opt/venv/bin/python", shared="/shared/avo",
        directives=("--constraint=h200&nvme", "--gres=gpu:h200:1", "--qos=long"),
    )  # fmt: skip


def test_a_gpu_task_asks_for_a_gpu_in_each_job() -> None:
    assert options("dask+slurm:", "cuda").directives == ("--gres=gpu:1",)
    assert options("dask+slurm:?gres=shard:2", "cuda").directives == ("--gres=shard:2",)
    assert options("dask+slurm:", "cpu").python == sys.executable


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("dask+slurm://gpu?worker=4", "knows no 'worker'"),
        ("dask+slurm://gpu?workers=0", "workers is a whole number from 1"),
        ("dask+slurm://gpu?workers=many", "workers is a whole number from 1"),
        ("dask+slurm://gpu?workers=1001", "from 1 to 1000"),
        ("dask+slurm://gpu?cores=", "cannot be cores"),
        ("dask+slurm://gpu?memory=lots", "memory is a size such as 32GB"),
        ("dask+slurm://gpu?account=a%0A%23SBATCH%20-A%20b", "cannot be account"),
        ("dask+slurm://gpu?python=/bin/sh%20-c%20x", "cannot be python"),
        ("dask+slurm://gpu?qos=$(id)", "cannot be qos"),
        ("dask+slurm://login1:6817", "name of a partition"),
        ("dask+slurm://gpu/more", "name of a partition"),
    ],
)
def test_odd_urls_are_one_sentence(url: str, words: str) -> None:
    with pytest.raises(ValueError, match=words) as error:
        options(url)
    assert "\n" not in str(error.value)


def test_devices_are_jobs() -> None:
    with pytest.raises(ValueError, match="each job is a device"):
        options("dask+slurm:", devices=("0",))
