"""Leaving an archive alone that is down: a circuit breaker for each host, known to all processes that share a folder.

Closed, it lets every request through. After several requests in a row that failed with all their retries it opens: nothing is asked but, once
in each cool-down, one probe with a single try. The first answer of any kind closes it. How long a request waits for that is its `Patience`.
"""

import contextlib
import dataclasses
import datetime
import json
import math
import os
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from tuningfork.archives.download import Transient
from tuningfork.files import read_json, write_json

DOWN_AFTER = 3
"""Requests in a row that reached nothing with all their retries, after which a host is taken to be down."""

SICK_AFTER = 10
"""The same for requests that were answered, but badly (HTTP 500, pages of HTML, cut bodies): some of them may fail by their own fault."""

COOLDOWN_S = 30.0
"""Seconds between two probes of a host that is down."""

GRACE_S = 1.0
"""Any request waits so long for the next probe; only where the cool-down is shorter (a server on this machine) does that make a difference."""


class Down(Transient):
    """The host is left alone for now; nothing was asked.

    Parameters
    ----------
    message
        Since when and why.
    probe_in_s
        Seconds until it may be asked again.
    """

    def __init__(self, message: str, probe_in_s: float) -> None:
        super().__init__(message, away=True)
        self.probe_in_s = probe_in_s


@dataclasses.dataclass(frozen=True)
class Outage:
    """Failures in a row of one host.

    When (Unix seconds) they began and when the last was; how many, and how many of them reached nothing; when the breaker opened; the last
    reason.
    """

    since: float
    last: float
    failures: int
    unreached: int
    opened: float | None
    reason: str


class Breaker:
    """The breaker of one host.

    Parameters
    ----------
    folder
        Where its state is, for all processes; None keeps it in this object.
    cooldown_s
        See `COOLDOWN_S`.
    forget_s
        Failures that are older say nothing about today: ten cool-downs or this, if longer.
    clock
        Unix seconds; given in tests.

    Notes
    -----
    The state is a small file that is replaced whole. Two processes that write at once lose one of two failures, which does no harm. A probe
    is a file created exclusively, named by the cool-down in which it is made: a prober that is killed blocks none but its own.
    """

    def __init__(
        self,
        folder: Path | None = None,
        *,
        cooldown_s: float = COOLDOWN_S,
        forget_s: float = 0.0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.folder, self.cooldown_s, self.clock = folder, cooldown_s, clock
        self.forget_s = max(10 * cooldown_s, forget_s)
        self._guard = threading.Lock()
        self._known: Outage | None = None
        self._probed: tuple[float | None, int] | None = None
        self._answered = -math.inf

    def admit(self, attempts: int) -> int:
        """How often a request may be tried: `attempts`, or once if it is the probe.

        Raises
        ------
        Down
            Not at all now.
        """
        outage = self.outage
        if outage is None:
            return attempts
        period = math.floor((self.clock() - (outage.opened or 0)) / self.cooldown_s)
        if period >= 1 and self._claim(outage, period):
            return 1
        since = datetime.datetime.fromtimestamp(outage.since, datetime.UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
        wait = max(0.0, (outage.opened or 0) + (max(period, 0) + 1) * self.cooldown_s - self.clock())
        raise Down(f"not asked, for it is down since {since} ({outage.reason}); asked again in {wait:.0f} s", wait)

    def failed(self, reason: str, *, away: bool) -> None:
        """A request failed with all its tries; `away` if it reached nothing that could answer."""
        now = self.clock()
        with self._guard:
            before = self._load() or Outage(now, now, 0, 0, None, reason)
            failures, unreached, opened = before.failures + 1, before.unreached + away, before.opened
            if opened is None and (unreached >= DOWN_AFTER or failures >= SICK_AFTER):
                opened = now
            self._store(Outage(before.since, now, failures, unreached, opened, reason))

    def succeeded(self) -> None:
        """The host answered."""
        with self._guard:
            self._known, self._answered = None, self.clock()
            if self.folder is not None:
                (self.folder / "down.json").unlink(missing_ok=True)

    def answered_since(self, time_s: float) -> bool:
        """Whether the host answered anything to this process since a Unix time."""
        return self._answered >= time_s

    @property
    def outage(self) -> Outage | None:
        """The outage, if the breaker is open."""
        with self._guard:
            found = self._load()
        return found if found is not None and found.opened is not None else None

    def _load(self) -> Outage | None:
        found = self._known
        if self.folder is not None:
            try:
                found = Outage(**read_json(self.folder / "down.json"))
            except FileNotFoundError:
                return None
            except (OSError, json.JSONDecodeError, TypeError):
                return None  # another version's, or damaged: the next failure writes it anew
        return found if found is not None and 0 <= self.clock() - found.last <= self.forget_s else None

    def _store(self, outage: Outage) -> None:
        if self.folder is None:
            self._known = outage
        else:
            write_json(self.folder / "down.json", dataclasses.asdict(outage))

    def _claim(self, outage: Outage, period: int) -> bool:
        """Whether this caller makes the probe of a cool-down."""
        if self.folder is None:
            with self._guard:
                mark = (outage.opened, period)
                first, self._probed = self._probed != mark, mark
            return first
        name = f"probe-{int(1000 * (outage.opened or 0))}-"
        try:
            os.close(os.open(self.folder / f"{name}{period}", os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644))
        except FileExistsError:
            return False
        for old in self.folder.glob("probe-*"):
            if old.name != f"{name}{period}":
                with contextlib.suppress(OSError):
                    old.unlink()
        return True


class Patience:
    """How long one request waits for an archive that is away.

    It waits while nobody gets an answer, until the outage is `patience_s` old and never longer than `patience_s` itself; so it ends,
    whatever the archive does. A request that fails while others are answered is tried once more and then fails by its own fault.
    """

    def __init__(self, patience_s: float, clock: Callable[[], float] = time.time) -> None:
        self.patience_s, self.clock = patience_s, clock
        self._first: float | None = None
        self._unlucky = False

    def pause(self, breakers: Sequence[Breaker], faults: Sequence[Transient], began: float) -> float | None:
        """Seconds to wait before all hosts are tried again, None if it is enough.

        Parameters
        ----------
        breakers
            Of all hosts of the archive.
        faults
            The last fault that each of them met in this round.
        began
            Unix time of the round's begin.
        """
        if not all(fault.away for fault in faults):
            return None
        now = self.clock()
        self._first = now if self._first is None else self._first
        refused = [fault for fault in faults if isinstance(fault, Down)]
        since = min((outage.since for breaker in breakers if (outage := breaker.outage)), default=now)
        until = min(since, self._first) + self.patience_s
        if len(refused) == len(faults):
            if now + min(fault.probe_in_s for fault in refused) <= self._first + GRACE_S:
                until = max(until, self._first + GRACE_S)
        elif self.patience_s and any(breaker.answered_since(began) for breaker in breakers):
            if self._unlucky:
                return None
            self._unlucky = True
        if now >= until:
            return None
        # Another process may see it answer before the probe that is due here.
        look = min([fault.probe_in_s for fault in refused] + [breaker.cooldown_s / 5 for breaker in breakers]) if refused else 0.0
        return min(max(look, 0.01), until - now)
