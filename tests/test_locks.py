"""A lock is cleared after a crash, never under a living run."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tuningfork.errors import TuningforkError
from tuningfork.locks import set_back, unlock

SNAKEFILE = "rule all:\n    output: 'done.txt'\n    shell: 'sleep 60; touch {output}'\n"


def _start(folder: Path) -> subprocess.Popen:
    (folder / "Snakefile").write_text(SNAKEFILE)
    snakemake = Path(sys.executable).with_name("snakemake")
    process = subprocess.Popen([snakemake, "-c1", "--quiet", "all"], cwd=folder, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    for _ in range(300):
        if list((folder / ".snakemake" / "locks").glob("*.lock")):
            return process
        time.sleep(0.1)
    raise AssertionError("snakemake never locked its folder")


def test_no_lock(tmp_path: Path) -> None:
    assert unlock(tmp_path) is False


def test_a_living_run_keeps_its_lock_and_a_killed_one_loses_it(tmp_path: Path) -> None:
    process = _start(tmp_path)
    try:
        with pytest.raises(TuningforkError, match=f"process {process.pid}"):
            unlock(tmp_path)
    finally:
        subprocess.run(["pkill", "-KILL", "-s", str(process.pid)], check=True)
        process.wait()
    assert unlock(tmp_path) is True
    assert not list((tmp_path / ".snakemake" / "locks").glob("*.lock"))


def test_files_from_the_future_are_dated_now_in_their_order(tmp_path: Path) -> None:
    now = time.time_ns()
    ahead = {"results/a": 3600, "results/b": 7200, "resources/c": 3600, "results/past": -3600, "resources/cache/d": 3600}
    for name, seconds in ahead.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
        os.utime(tmp_path / name, ns=(now, now + seconds * 10**9))
    assert set_back(tmp_path) == 3
    dates = {name: (tmp_path / name).stat().st_mtime_ns for name in ahead}
    assert now - 10**9 < dates["results/a"] == dates["resources/c"] < dates["results/b"] <= time.time_ns()
    assert dates["results/past"] == now - 3600 * 10**9
    assert dates["resources/cache/d"] == now + 3600 * 10**9
    assert set_back(tmp_path) == 0
