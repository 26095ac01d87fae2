"""A polite rate, shared by every process that uses the same folder: time is cut into slots, and each request takes one.

A slot is a file created exclusively, so there is no lock to hold, to lose in a crash or to break on a shared file system.
"""

import math
import os
import time
from collections.abc import Callable
from pathlib import Path


class RateLimit:
    """At most `per_second` requests a second on average, and two within any single slot.

    Parameters
    ----------
    folder
        Where slots are kept; one folder for each archive.
    per_second
        Slots a second.
    clock, sleep
        The wall clock (it is shared between processes) and how to wait; given in tests.
    """

    def __init__(self, folder: Path, per_second: float, *, clock: Callable[[], float] = time.time, sleep: Callable[[float], None] = time.sleep) -> None:
        self.folder = Path(folder)
        self.per_second = per_second
        self.clock, self.sleep = clock, sleep

    def wait(self) -> int:
        """Take the first free slot, sleep until it begins, and give its number."""
        self.folder.mkdir(parents=True, exist_ok=True)
        slot = now = math.floor(self.clock() * self.per_second)
        while not self._take(slot):
            slot += 1
        self._forget_before(now - 1)
        self.sleep(max(0.0, slot / self.per_second - self.clock()))
        return slot

    def _take(self, slot: int) -> bool:
        try:
            os.close(os.open(self.folder / str(slot), os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644))
        except FileExistsError:
            return False
        return True

    def _forget_before(self, slot: int) -> None:
        # The past is never claimed again, so its files can go.
        for path in self.folder.iterdir():
            if path.name.isdigit() and int(path.name) < slot:
                path.unlink(missing_ok=True)
