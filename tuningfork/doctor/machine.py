"""This machine: its GPUs, the working directory and scratch, free disk against the plan, and its clock against the file system's."""

import os
import shutil
import tempfile
import time
from pathlib import Path

from tuningfork.config import Config
from tuningfork.doctor.finding import Finding, ok, problem, warning
from tuningfork.gpu_lease import visible_gpus
from tuningfork.planning import Plan

SIMULATED_BYTES = 3e9
"""Room for a run on the simulated sky: downloads, stamps, models and figures of the demo, with as much again."""
SCRATCH_BYTES = 1e9
SKEW_S = 2.0
"""File times further from the clock than this can hide that an input is newer than an output."""


def check_gpus(config: Config) -> list[Finding]:
    """GPUs that this machine shows against those that one training asks for; for runs without a cluster."""
    seen, asked = visible_gpus(), config.compute.gpu
    if asked == 0:
        return [ok("GPU", f"none is asked for (compute.gpu: 0); this machine shows {len(seen)}")]
    if not seen:
        return [warning("GPU", "this machine shows none", "trainings run on its CPU; large ones want a GPU")]
    if len(seen) < asked:
        return [problem("GPU", f"compute.gpu asks for {asked}, this machine shows {len(seen)}", f"set compute.gpu to {len(seen)} or less")]
    import torch

    if not torch.cuda.is_available():
        built = "is built for CPUs only" if torch.version.cuda is None else f"(built for CUDA {torch.version.cuda}) cannot use the driver"
        return [problem("GPU", f"{len(seen)} seen, but torch {torch.__version__} {built}", "install the build of torch for your GPU: pytorch.org, Get started")]
    if len(seen) == 1:
        return [ok("GPU", "1 seen; --resources gpu=1 keeps two trainings from sharing it")]
    return [ok("GPU", f"{len(seen)} seen; each training leases {asked}")]


def check_folders(directory: Path, *, shared: bool) -> list[Finding]:
    """Whether the working directory and the scratch folder can be written, and whether nodes of a cluster can see the directory."""
    found = [_written("working directory", directory)]
    kind = file_system(directory)
    if shared and kind in ("tmpfs", "ramfs", "overlay"):
        found.append(warning("working directory", f"{directory} is on {kind}, which other machines do not see", "run in a folder that all nodes share"))
    scratch = Path(tempfile.gettempdir())
    found.append(_written("scratch", scratch))
    free = shutil.disk_usage(scratch).free
    if free < SCRATCH_BYTES:
        found.append(warning("scratch", f"{scratch} has {free / 1e9:.1f} GB free", "set TMPDIR to a roomier local disk"))
    return found


def _written(subject: str, folder: Path) -> Finding:
    try:
        with tempfile.NamedTemporaryFile(dir=folder, prefix=".doctor-") as file:
            file.write(b"x" * 4096)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        return problem(subject, f"{folder} cannot be written ({error.strerror})", "run elsewhere, or free space or quota there")
    return ok(subject, f"{folder} can be written ({file_system(folder) or 'unknown file system'})")


def file_system(folder: Path) -> str | None:
    """Kind of the file system that a folder is on (Linux), such as ext4 or nfs4."""
    try:
        mounts = [line.split()[1:3] for line in Path("/proc/mounts").read_text(encoding="utf-8").splitlines()]
    except OSError:
        return None
    path = folder.resolve()
    holding = [(len(point), kind) for point, kind in mounts if path.is_relative_to(point.replace("\\040", " "))]
    return max(holding)[1] if holding else None


def check_disk(directory: Path, plan: Plan | None) -> list[Finding]:
    """Free space in the working directory against what the plan says is downloaded and cut; None: the simulated sky."""
    free = shutil.disk_usage(directory).free
    needed = SIMULATED_BYTES if plan is None else plan.cache_bytes + plan.stamp_bytes
    why = "for a simulated sky" if plan is None else f"planned: {plan.cache_bytes / 1e9:.1f} downloads, {plan.stamp_bytes / 1e9:.1f} stamps"
    seen = f"{free / 1e9:.1f} GB free of {needed / 1e9:.1f} ({why})"
    if free < needed:
        return [problem("disk", seen, "run where there is more room; what is downloaded already counts twice here")]
    if free < 1.5 * needed:
        return [warning("disk", seen, "little is left for models, catalogues and what else writes there")]
    return [ok("disk", seen)]


def check_file_times(directory: Path) -> list[Finding]:
    """The time that the file system stamps on a new file against this machine's clock: what is stale is decided by file times."""
    try:
        with tempfile.NamedTemporaryFile(dir=directory, prefix=".doctor-") as file:
            before = time.time()
            file.write(b"x")
            file.flush()
            os.fsync(file.fileno())
            skew = os.stat(file.name).st_mtime - before
    except OSError:
        return []  # that it cannot be written is another check's finding
    if abs(skew) > SKEW_S:
        return [warning("clock", f"new files in {directory} are stamped {skew:+.0f} s from this machine's clock", "have the file server's time set (NTP)")]
    return [ok("clock", f"file times agree with this machine's to {abs(skew):.1f} s")]
