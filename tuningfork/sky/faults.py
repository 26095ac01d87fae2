"""Faults on demand: what archives and networks do when they fail, by path, so that clients can be tested against it."""

import fnmatch
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from tuningfork.errors import ConfigError

SECONDS = {"slow": 1.0, "stall": 60.0, "429-reset": 1.0}
"""How long a fault lasts where its request does not say: ``slow`` waits so long before it answers, ``stall`` holds the connection at most so long,
``429-reset`` names a time so far ahead. ``away`` without seconds lasts as long as its pattern stands."""

FAULTS = {
    "slow": "the reply comes late",
    "stall": "half the body, then nothing, the connection stays open",
    "truncate": "half the body, then the connection is closed",
    "429": "too many requests, Retry-After: 1",
    "429-no-retry-after": "too many requests, without a word on when to come again",
    "429-reset": "too many requests, X-RateLimit-Reset as Unix time",
    "500": "internal error",
    "503": "no server available, Retry-After: 1",
    "html": "a page of HTML with status 200 in place of the body",
    "vizier-error-200": "VizieR's VOTable of errors with status 200",
    "reset": "the connection is reset before a reply",
    "away": "the connection is closed before a reply, for some seconds from the first request on",
    "wrong-length": "Content-Length promises 100 bytes more than come",
    "wrong-length-less": "Content-Length promises fewer bytes than come",
    "corrupt": "bytes flipped within the body, its length right",
}
"""Every fault and what it does."""

FIRST_FLIPPED = 3001
WRONG_BY = 100
"""Bytes by which a wrong Content-Length is wrong (at most half the body)."""


@dataclass(frozen=True)
class Fault:
    """One fault.

    Attributes
    ----------
    name : str
        One of `FAULTS`.
    times : int, optional
        Only the first so many requests; None: all.
    seconds : float, optional
        See `SECONDS`.

    Raises
    ------
    ConfigError
        There is no fault of this name.
    """

    name: str
    times: int | None = None
    seconds: float | None = None

    def __post_init__(self) -> None:
        if self.name not in FAULTS:
            raise ConfigError(f"no fault {self.name!r}; there are {', '.join(FAULTS)}")

    @property
    def duration(self) -> float:
        """Seconds that it lasts."""
        return SECONDS.get(self.name, 0.0) if self.seconds is None else self.seconds


Given = str | tuple[str, int | None] | tuple[str, int | None, float] | Fault
Faults = Callable[[str], "Given | None"] | Mapping[str, Given]
"""Either a function of the request's path and query that gives a fault (or None), or shell patterns of path and query with a fault for each: a name,
``("503", 2)`` for the first two such requests only, ``("slow", None, 0.2)`` for 0.2 seconds, or a `Fault`."""


class FaultPlan:
    """Decides for each request whether it fails, and remembers how often it did.

    Parameters
    ----------
    faults : callable or mapping, optional
        See `Faults`. Of several patterns that match the first one that is not used up counts.
    clock : callable
        Seconds; for `away`.
    """

    def __init__(self, faults: Faults | None, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._choose = faults if callable(faults) else None
        self._patterns = {} if faults is None or callable(faults) else {pattern: _as_fault(given) for pattern, given in faults.items()}
        self._clock = clock
        self._times: dict[str, int] = {}
        self._began: dict[str, float] = {}
        self._lock = threading.Lock()

    def fault(self, path: str) -> Fault | None:
        """The fault of this request, if any."""
        if self._choose is not None:
            chosen = self._choose(path)
            return None if chosen is None else _as_fault(chosen)
        for pattern, fault in self._patterns.items():
            if fnmatch.fnmatchcase(path, pattern) and self._stands(pattern, fault):
                return fault
        return None

    def _stands(self, pattern: str, fault: Fault) -> bool:
        with self._lock:
            if fault.times is not None:
                self._times[pattern] = self._times.get(pattern, 0) + 1
                if self._times[pattern] > fault.times:
                    return False
            if fault.name == "away" and fault.seconds is not None:
                return self._clock() - self._began.setdefault(pattern, self._clock()) < fault.seconds
        return True


def corrupted(block: bytes, offset: int, size: int | None) -> bytes:
    """A block of a body with some bytes flipped: every 1009th from byte 3001 on (behind a short FITS header), the middle one of a body not that long.

    Parameters
    ----------
    block : bytes
    offset : int
        Where the block begins in the body.
    size : int, optional
        Length of the whole body, if it is known.
    """
    damaged = bytearray(block)
    if size is not None and size <= FIRST_FLIPPED:
        places = range(size // 2 - offset, size // 2 - offset + 1)
    else:
        places = range(FIRST_FLIPPED - offset if offset <= FIRST_FLIPPED else -(offset - FIRST_FLIPPED) % 1009, len(damaged), 1009)
    for i in places:
        if 0 <= i < len(damaged):
            damaged[i] ^= 0xFF
    return bytes(damaged)


def _as_fault(given: Given) -> Fault:
    if isinstance(given, Fault):
        return given
    return Fault(given) if isinstance(given, str) else Fault(*given)
