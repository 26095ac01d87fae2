"""Snakemake's lock after a crash: cleared only when no living snakemake holds the working directory."""

import os
from pathlib import Path

from tuningfork.errors import TuningforkError


def unlock(directory: Path) -> bool:
    """Remove a lock that a killed run left behind.

    Returns
    -------
    bool
        True if a stale lock was removed, False if there was none.

    Raises
    ------
    TuningforkError
        A snakemake is running in `directory`; its process is named.
    """
    locks = [path for path in (directory / ".snakemake" / "locks").glob("*.lock") if path.is_file()]
    if not locks:
        return False
    holder = _living_snakemake(directory.resolve())
    if holder is not None:
        raise TuningforkError(f"snakemake (process {holder}) is running in {directory.resolve()}; wait for it, or stop it first")
    for path in locks:
        path.unlink(missing_ok=True)
    return True


def _living_snakemake(directory: Path) -> int | None:
    """Process id of a snakemake whose working directory is `directory`, read off /proc; ours and our parents' do not count."""
    own = _ancestors(os.getpid())
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_bytes().split(b"\0")
            here = Path(os.readlink(process / "cwd"))
        except OSError:
            continue
        is_snakemake = any(Path(os.fsdecode(word)).name == "snakemake" for word in words[:3])
        if is_snakemake and here == directory and int(process.name) not in own:
            return int(process.name)
    return None


def _ancestors(pid: int) -> set[int]:
    found = set()
    while pid > 1 and pid not in found:
        found.add(pid)
        try:
            pid = int((Path("/proc") / str(pid) / "stat").read_text().rsplit(")", 1)[1].split()[1])
        except (OSError, IndexError, ValueError):
            break
    return found
