"""Which of a workstation's GPUs a job takes: each job holds as many as it asks for, and no other job takes those while it lives.

Slurm gives each job its GPUs (CUDA_VISIBLE_DEVICES); on one machine nothing does, and all jobs would crowd on the first. A lease is an fcntl
lock on a file of this machine: the kernel gives it back when the process ends, however it ends, so nothing is ever left to clean up.
"""

import fcntl
import logging
import os
import re
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from tuningfork.errors import TuningforkError

VISIBLE = "CUDA_VISIBLE_DEVICES"
POLL_S = 0.5
_held: list[int] = []
"""Open files of the leases of this process: closing one, or ending, gives the GPU back."""

log = logging.getLogger(__name__)


def hold_gpus(count: int, folder: Path | None = None) -> list[str]:
    """Take GPUs for the rest of this process, and let CUDA see no others; call it before torch looks for a device.

    Parameters
    ----------
    count
        GPUs that the job asks for; 0 hides all of them.
    folder
        Where the locks are, on a disk of this machine; by default a folder that all its users share.

    Returns
    -------
    list of str
        What was leased: empty where Slurm has chosen already, where the machine has one GPU or none (nothing to choose), or for `count` 0.

    Raises
    ------
    TuningforkError
        The machine has fewer GPUs than the job asks for.

    Notes
    -----
    Where all are taken it waits. All that a job needs is taken at once or not at all, so two jobs never wait for each other.
    """
    if "SLURM_JOB_ID" in os.environ:
        return []
    if count == 0:
        os.environ[VISIBLE] = ""
        return []
    devices = visible_gpus()
    if len(devices) < 2:
        return []
    if count > len(devices):
        raise TuningforkError(f"the job asks for {count} GPUs and this machine shows {len(devices)} ({', '.join(devices)}); set compute.gpu to at most that")
    folder = folder or Path(tempfile.gettempdir()) / "tuningfork-gpus"
    _shared_folder(folder)
    waiting = False
    while (taken := _take(devices, count, folder)) is None:
        if not waiting:
            log.info("all %d GPUs are taken by other jobs: waiting for %d", len(devices), count)
        waiting = True
        time.sleep(POLL_S)
    os.environ[VISIBLE] = ",".join(taken)
    log.info("GPU %s of %s", ", ".join(taken), ", ".join(devices))
    return taken


def visible_gpus() -> list[str]:
    """The GPUs that this process may use, as CUDA names them: those of CUDA_VISIBLE_DEVICES, else all that the driver lists.

    As for CUDA, the list ends before the first entry that is no device (-1).
    """
    given = os.environ.get(VISIBLE)
    if given is None:
        return _listed()
    names = [name.strip() for name in given.split(",")]
    end = next((place for place, name in enumerate(names) if name in ("", "-1", "NoDevFiles")), len(names))
    return list(dict.fromkeys(names[:end]))


def _listed() -> list[str]:
    try:
        shown = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, timeout=30)
    except (OSError, subprocess.TimeoutExpired):
        return []
    # "GPU 0: NVIDIA H200 (UUID: GPU-...)"; where it is divided, its parts follow, and CUDA sees these in its place.
    found = list[str]()
    for kind, device in re.findall(r"^ *(GPU|MIG) .*\(UUID: ([^)\s]+)\)", shown.stdout, re.MULTILINE):
        if kind == "MIG" and found and found[-1].startswith("GPU-"):
            found.pop()
        found.append(device)
    return found


def _take(devices: Sequence[str], count: int, folder: Path) -> list[str] | None:
    files, names = list[int](), list[str]()
    for device in devices:
        if len(names) == count:
            break
        file = _open(folder / f"{re.sub(r'[^A-Za-z0-9_-]', '_', device)}.lock")
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(file)
            continue
        files.append(file)
        names.append(device)
    if len(names) < count:
        for file in files:
            os.close(file)
        return None
    _held.extend(files)
    return names


def _shared_folder(folder: Path) -> None:
    """Open to all users of the machine; a file in it can be removed by its owner alone."""
    try:
        folder.mkdir(parents=True)
        folder.chmod(0o1777)
    except FileExistsError:
        pass


def _open(path: Path) -> int:
    # An existing file is opened without O_CREAT: kernels refuse that flag for another user's file in a folder that all may write.
    while True:
        try:
            return os.open(path, os.O_RDWR)
        except FileNotFoundError:
            pass
        try:
            file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666)
        except FileExistsError:
            continue
        os.fchmod(file, 0o666)
        return file
