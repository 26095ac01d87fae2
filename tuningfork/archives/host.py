"""One host and the manners towards it, in one place: connections in flight, rate, pauses that it asked for, and whether it is down.

All of it is shared by the processes that share a cache, through files in ``<cache>/.hosts/<host>``. A host on this machine (the stand-in, a
test's server) needs no manners but its number of connections, and has no files.
"""

import contextlib
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from urllib.parse import urlsplit

from tuningfork.archives.breaker import Breaker
from tuningfork.archives.download import pause_asked
from tuningfork.archives.leases import Connections, within
from tuningfork.archives.rate import RateLimit
from tuningfork.archives.request import Archive
from tuningfork.files import write_text


class Host:
    """Where an archive is reached.

    Parameters
    ----------
    archive
        Its limits.
    base
        Scheme and host (on loopback: and path) of its URLs.
    folder
        Where the state that all processes share is kept; None for a host that only this process knows.
    breaker
        Whether it is down.
    longest_pause_s
        Cap of a pause that the host asks for, in seconds.
    """

    def __init__(self, archive: Archive, base: str, folder: Path | None, breaker: Breaker, longest_pause_s: float) -> None:
        self.archive, self.base, self.breaker, self.longest_pause_s = archive, base, breaker, longest_pause_s
        self._held_until = 0.0
        self._hold = folder / "hold" if folder is not None else None
        self._here = threading.BoundedSemaphore(archive.connections)
        self._connections = Connections(folder / "connections", archive.connections) if folder is not None else None
        # A bucket as deep as the connections: they may all begin at once after a lull, and are never more than that at once anyway.
        self._rate = RateLimit(folder / "slots", archive.requests_per_second, burst=archive.connections) if folder is not None else None

    @contextlib.contextmanager
    def turn(self, pause: Callable[[float], None] = time.sleep) -> Iterator[None]:
        """Ask within the block: a connection is held, any pause that the host asked for is over, and a slot of its rate is taken.

        Parameters
        ----------
        pause
            How to wait; may raise to end the wait.
        """
        with within(self._here, pause) if self._connections is None else self._connections.one(pause):
            pause(0.0)  # the wait for a connection may have been long: is this still wanted?
            while (left := self._held() - time.time()) > 0:
                pause(left)
            if self._rate is not None:
                self._rate.wait(pause)
            yield

    def heed(self, status: int, headers: Mapping[str, str]) -> None:
        """Hold all further requests, of all processes, if a reply asks for a pause or says that the allowance is used up."""
        seconds = pause_asked(status, headers)
        if not seconds:
            return
        until = time.time() + min(seconds, self.longest_pause_s)
        if until > self._held():
            self._held_until = until
            if self._hold is not None:
                write_text(self._hold, f"{until:.3f}\n")

    def _held(self) -> float:
        """Unix time until which the host wants to be left alone."""
        until = self._held_until
        if self._hold is not None:
            with contextlib.suppress(OSError, ValueError):
                until = max(until, float(self._hold.read_text(encoding="utf-8")))
        # A time beyond the cap is of a clock that has been set back since.
        return until if until - time.time() <= self.longest_pause_s + 1 else 0.0


def folder_name(url: str) -> str:
    """A host's name as a folder's."""
    return re.sub(r"[^A-Za-z0-9.-]", "_", urlsplit(url).netloc.lower())
