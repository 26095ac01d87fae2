"""Jobs of one workstation share out its GPUs; a killed job's GPU is free at once."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tuningfork.errors import TuningforkError
from tuningfork.gpu_lease import hold_gpus, visible_gpus

JOB = """
import os, sys, time
from pathlib import Path
from tuningfork.gpu_lease import hold_gpus
hold_gpus(int(sys.argv[2]), Path(sys.argv[1]))
print(os.environ["CUDA_VISIBLE_DEVICES"], flush=True)
sys.stdin.readline()
"""


class Job:
    """A process that leases GPUs and holds them until it is told to end."""

    def __init__(self, folder: Path, count: int = 1, visible: str = "0,1") -> None:
        environment = {name: value for name, value in os.environ.items() if name != "SLURM_JOB_ID"} | {"CUDA_VISIBLE_DEVICES": visible}
        command = [sys.executable, "-c", JOB, str(folder), str(count)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)

    def devices(self) -> str:
        return self.process.stdout.readline().strip()

    def end(self) -> None:
        self.process.communicate("\n")


@pytest.fixture
def jobs(tmp_path: Path):
    started = []

    def start(*arguments, **options):
        started.append(Job(tmp_path / "leases", *arguments, **options))
        return started[-1]

    yield start
    for job in started:
        job.process.kill()
        job.process.communicate()


@pytest.fixture
def apart(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    return monkeypatch


def test_two_jobs_have_different_gpus_and_a_third_waits_until_one_is_killed(jobs) -> None:
    first, second = jobs(), jobs()
    devices = {first.devices(), second.devices()}
    assert devices == {"0", "1"}
    third = jobs()
    time.sleep(1.0)
    assert third.process.poll() is None
    first.process.send_signal(signal.SIGKILL)
    given = third.devices()
    assert given in devices
    second.end()
    fourth = jobs()
    assert {given, fourth.devices()} == devices


def test_a_job_takes_all_that_it_needs_or_nothing(jobs) -> None:
    one = jobs(visible="0,1,2")
    assert one.devices() == "0"
    three = jobs(3, visible="0,1,2")
    two = jobs(2, visible="0,1,2")  # not kept waiting by the job before it, which holds none of the two while it waits
    assert two.devices() == "1,2"
    one.end()
    two.end()
    assert three.devices() == "0,1,2"


def test_a_lock_file_of_another_user_can_be_taken(tmp_path: Path, jobs) -> None:
    job = jobs()
    job.devices()
    modes = {path.stat().st_mode & 0o7777 for path in (tmp_path / "leases").iterdir()}
    assert modes == {0o666}
    assert (tmp_path / "leases").stat().st_mode & 0o7777 == 0o1777


def test_nothing_is_leased_where_slurm_has_chosen(apart: pytest.MonkeyPatch, tmp_path: Path) -> None:
    apart.setenv("SLURM_JOB_ID", "7")
    apart.setenv("CUDA_VISIBLE_DEVICES", "2,3")
    assert hold_gpus(1, tmp_path / "leases") == []
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "2,3"
    assert not (tmp_path / "leases").exists()


@pytest.mark.parametrize("visible", ["", "0", "-1"])
def test_one_gpu_or_none_is_left_as_it_is(apart: pytest.MonkeyPatch, tmp_path: Path, visible: str) -> None:
    apart.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert hold_gpus(1, tmp_path) == []
    assert os.environ["CUDA_VISIBLE_DEVICES"] == visible


def test_a_job_that_asks_for_no_gpu_sees_none(apart: pytest.MonkeyPatch, tmp_path: Path) -> None:
    apart.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    assert hold_gpus(0, tmp_path) == []
    assert os.environ["CUDA_VISIBLE_DEVICES"] == ""


def test_more_gpus_than_there_are_is_an_error_that_says_so(apart: pytest.MonkeyPatch, tmp_path: Path) -> None:
    apart.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    with pytest.raises(TuningforkError, match=r"asks for 3 GPUs and this machine shows 2 \(0, 1\)"):
        hold_gpus(3, tmp_path)


@pytest.mark.parametrize(("given", "expected"), [("0,1", ["0", "1"]), ("0,-1,2", ["0"]), ("", []), ("GPU-8f3a, 1", ["GPU-8f3a", "1"]), ("1,1", ["1"])])
def test_the_visible_gpus_are_read_as_cuda_reads_them(apart: pytest.MonkeyPatch, given: str, expected: list[str]) -> None:
    apart.setenv("CUDA_VISIBLE_DEVICES", given)
    assert visible_gpus() == expected


def test_without_the_variable_the_driver_is_asked(apart: pytest.MonkeyPatch, tmp_path: Path) -> None:
    driver = tmp_path / "nvidia-smi"
    driver.write_text(
        "#!/bin/sh\necho 'GPU 0: NVIDIA H200 (UUID: GPU-aa11)'\necho '  MIG 1g.18gb Device 0: (UUID: MIG-cc)'\necho 'GPU 1: NVIDIA H200 (UUID: GPU-bb22)'\n"
    )
    driver.chmod(0o755)
    apart.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    assert visible_gpus() == ["MIG-cc", "GPU-bb22"]
    driver.unlink()
    apart.setenv("PATH", str(tmp_path))
    assert visible_gpus() == []
