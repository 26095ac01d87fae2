"""Who holds what, among the processes of one machine or of a cluster, told by files alone: no `flock`, which shared file systems lack or lie about.

An owner is a text with machine, process id and start of the process. A claim is a file that exists only if its owner made it, with the owner
as its content; the claims of processes that ended are taken over. `Connections` counts the requests in flight by such claims.
"""

import contextlib
import functools
import math
import os
import re
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

# A claim whose owner cannot be asked (another node) and that has not moved for this long belongs to nobody. Longer than the longest pause
# between retries.
STALE_S = 900.0

# A claim on this machine is looked at this often whether its owner still runs.
DEAD_EVERY_S = 1.0


def machine() -> str:
    """A name for what shares process ids with this process: the host, and on Linux its namespace (two containers may have one host name)."""
    with contextlib.suppress(OSError):
        return f"{socket.gethostname()}-{Path('/proc/self/ns/pid').stat().st_ino}"
    return socket.gethostname()


def new_owner() -> str:
    """A name for one holder of one thing, that tells whether it still lives."""
    return f"{machine()}~{os.getpid()}~{_started(os.getpid())}-{uuid.uuid4().hex[:8]}"


def alive(path: Path, owner: str) -> bool:
    """Whether an owner's process still runs; of one on another machine, whether `path` (a file, or a folder and what is in it) moved lately."""
    host, _, rest = owner.partition("~")
    pid, _, more = rest.partition("~")
    if host == machine() and pid.isdigit():
        try:
            os.kill(int(pid), 0)
        except ProcessLookupError:
            return False
        except PermissionError:
            pass
        # Process ids come again; the time of the start does not.
        start = re.match(r"(\d+)-", more)
        return start is None or (now := _started(int(pid))) == "" or start[1] == now
    try:
        newest = max(p.stat().st_mtime for p in [path, *(path.iterdir() if path.is_dir() else ())])
    except (OSError, ValueError):
        return False
    return time.time() - newest < STALE_S


def claim(mine: Path, target: Path) -> bool:
    """Make `target` with the content of `mine` in one step; False if it exists."""
    try:
        os.link(mine, target)
    except FileExistsError:
        return False
    except OSError:
        # No hard links on this file system: an exclusive create is as exclusive, only its content comes a moment later.
        try:
            with open(target, "x", encoding="utf-8") as file:
                file.write(mine.read_text(encoding="utf-8"))
        except FileExistsError:
            return False
    return True


def break_stale(target: Path, mine: Path) -> bool:
    """Whether `target` may be claimed now: it is gone, or its owner was dead and it has been removed."""
    owner = content(target)
    if owner is None:
        return True
    if alive(target, owner):
        return False
    grave = mine.with_name(f"{mine.name}.grave")
    try:
        target.rename(grave)
    except FileNotFoundError:
        return True
    if content(grave) != owner:
        # Another process took the stale claim over between our look and our rename: give its claim back.
        claim(grave, target)
    grave.unlink(missing_ok=True)
    return True


def content(path: Path) -> str | None:
    """A file's text, None if it is not there."""
    try:
        return path.read_text(encoding="utf-8")
    except OSError:
        return None


class Connections:
    """At most `limit` requests in flight to one host, from all threads and processes of this machine that share `folder`; first come, first served.

    Parameters
    ----------
    folder
        Where claims are kept; one folder for each host.
    limit
        Requests in flight at once.
    poll_s
        How often the first in the queue looks again.

    Notes
    -----
    The limit holds for a machine, not for all nodes that share the folder: only processes of the own machine can be asked whether they
    live, so a claim needs no heartbeat and that of a killed job is free at once. What all nodes share is the rate (`rate.RateLimit`).

    Who finds all claims taken draws a ticket, and only the first `limit` tickets may claim: without it, a job that ends a request and begins
    its next one within the same millisecond would keep every other job waiting for hours.
    """

    def __init__(self, folder: Path, limit: int, *, poll_s: float = 0.005) -> None:
        self.folder, self.limit, self.poll_s = folder / machine(), limit, poll_s
        self._here = threading.BoundedSemaphore(limit)

    @contextlib.contextmanager
    def one(self, pause: Callable[[float], None] = time.sleep) -> Iterator[None]:
        """Hold a connection for the block; `pause` is called between looks, and ends the wait by raising."""
        with within(self._here, pause):
            lease = self._take(pause)
            try:
                yield
            finally:
                lease.unlink(missing_ok=True)

    def _take(self, pause: Callable[[float], None]) -> Path:
        queue = self.folder / "queue"
        queue.mkdir(parents=True, exist_ok=True)
        owner = new_owner()
        mine, ticket = self.folder / f".{owner}", queue / f"{time.time_ns():020d}~{owner}"
        mine.write_text(owner, encoding="utf-8")
        try:
            if not os.listdir(queue) and (lease := self._claim(mine, stale=False)):
                return lease
            ticket.touch()
            looked = -math.inf
            while True:
                position = self._position(queue, ticket)
                # Asking for the dead is dear, and they do not come back to life.
                if stale := time.monotonic() - looked > DEAD_EVERY_S:
                    looked = time.monotonic()
                if position < self.limit and (lease := self._claim(mine, stale=stale)):
                    return lease
                pause(self.poll_s * min(50, 1 + max(0, position - self.limit + 1)))
        finally:
            ticket.unlink(missing_ok=True)
            mine.unlink(missing_ok=True)

    def _claim(self, mine: Path, *, stale: bool) -> Path | None:
        for number in range(self.limit):
            lease = self.folder / str(number)
            if claim(mine, lease) or (stale and break_stale(lease, mine) and claim(mine, lease)):
                return lease
        return None

    def _position(self, queue: Path, ticket: Path) -> int:
        """How many wait longer; tickets of the dead are thrown away."""
        before = sorted(name for name in os.listdir(queue) if name < ticket.name)
        for name in before[: self.limit]:
            if time.time() - int(name.partition("~")[0]) / 1e9 > DEAD_EVERY_S and not alive(queue / name, name.partition("~")[2]):
                (queue / name).unlink(missing_ok=True)
        return len(before)


@contextlib.contextmanager
def within(semaphore: threading.Semaphore, pause: Callable[[float], None]) -> Iterator[None]:
    """Hold a semaphore for the block; between looks `pause` may end the wait by raising."""
    while not semaphore.acquire(timeout=0.5):
        pause(0.0)
    try:
        yield
    finally:
        semaphore.release()


def _started(pid: int) -> str:
    """When a process began, in ticks since the machine's start (Linux); empty where that is not told."""
    if pid == os.getpid():
        return _own_start(pid)
    return _read_start(pid)


@functools.lru_cache(maxsize=1)
def _own_start(pid: int) -> str:
    return _read_start(pid)


def _read_start(pid: int) -> str:
    try:
        # The name of the program is in parentheses and may hold anything; the start is the 22nd field (proc(5)).
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return ""
