"""What a killed run or a wrong clock leaves in a working directory, cleared only when no living snakemake holds it."""

import os
import time
from collections.abc import Iterator
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


def set_back(directory: Path, *, tolerance_s: float = 2.0) -> int:
    """Date files that were made while the clock was ahead to now, in the order in which they were made.

    Snakemake refuses an output that is older than its input: with an input from the future no job that reads it could ever end.

    Parameters
    ----------
    tolerance_s
        A file this far in the future is left: the clocks of a file server and its clients differ by so much.

    Returns
    -------
    int
        How many files were dated anew.

    Raises
    ------
    TuningforkError
        A snakemake is running in `directory`, or a file's date cannot be set.
    """
    now = time.time_ns()
    future = sorted((found.st_mtime_ns, path) for path, found in _made(directory) if found.st_mtime_ns > now + tolerance_s * 1e9)
    if not future:
        return 0
    if (holder := _living_snakemake(directory.resolve())) is not None:
        raise TuningforkError(f"snakemake (process {holder}) is running in {directory.resolve()}; wait for it, or stop it first")
    dates = sorted({date for date, _ in future})
    anew = {date: now - (len(dates) - place) * 1000 for place, date in enumerate(dates)}  # a microsecond apart
    for date, path in future:
        try:
            os.utime(path, ns=(anew[date], anew[date]))
        except OSError as error:
            raise TuningforkError(f"{path} is dated in the future and cannot be dated anew ({error}); run `touch` on it as its owner") from error
    return len(future)


def _made(directory: Path) -> Iterator[tuple[Path, os.stat_result]]:
    """What rules make; replies in the cache are no rule's inputs, and may be millions."""
    for part in ("results", "resources"):
        for folder, folders, names in os.walk(directory / part):
            if Path(folder) == directory / "resources":
                folders[:] = [name for name in folders if name != "cache"]
            for name in names:
                path = Path(folder, name)
                yield path, path.stat(follow_symlinks=False)


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
