"""A polite rate, shared by every process that uses the same folder: time is cut into slots, and each request takes one.

A slot is a file created exclusively, so there is no lock to hold, to lose in a crash or to break on a shared file system.
"""

import math
import os
import time
from collections.abc import Callable
from pathlib import Path


class RateLimit:
    """At most `per_second` requests a second on average, and ``burst + 2`` within any single slot.

    Parameters
    ----------
    folder
        Where slots are kept; one folder for each host.
    per_second
        Slots a second.
    burst
        Slots of the last moment that nobody took and that may still be taken: the depth of the bucket. Without it a request that ends just
        after its slot began loses that slot, and an archive whose answers take as long as its rate allows is asked at a third less than
        that rate.
    clock, sleep
        The wall clock (it is shared between processes) and how to wait; given in tests.

    Notes
    -----
    A wait that is interrupted gives its slot back. A process that is killed leaves at most the slots that it waited for, one for each
    request in flight: they pass unused, and no new ones are added behind them.
    """

    def __init__(
        self, folder: Path, per_second: float, *, burst: int = 0, clock: Callable[[], float] = time.time, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self.folder = Path(folder)
        self.per_second, self.burst = per_second, burst
        self.clock, self.sleep = clock, sleep

    def wait(self, pause: Callable[[float], None] | None = None) -> int:
        """Take the first free slot, sleep (by `pause`, which may raise to end the wait) until it begins, and give its number."""
        self.folder.mkdir(parents=True, exist_ok=True)
        now = math.floor(self.clock() * self.per_second)
        slot = now - self.burst
        while not self._take(slot):
            slot += 1
        self._forget_before(now - self.burst - 1)
        if (seconds := slot / self.per_second - self.clock()) > 0:
            try:
                (pause or self.sleep)(seconds)
            except BaseException:
                self._file(slot).unlink(missing_ok=True)
                raise
        return slot

    def _file(self, slot: int) -> Path:
        return self.folder / str(slot)

    def _take(self, slot: int) -> bool:
        try:
            os.close(os.open(self._file(slot), os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644))
        except FileExistsError:
            return False
        return True

    def _forget_before(self, slot: int) -> None:
        # The past is never claimed again, so its files can go.
        for name in os.listdir(self.folder):
            if name.isdigit() and int(name) < slot:
                self._file(int(name)).unlink(missing_ok=True)
