"""How far a download is: a bar on a terminal, a line in the log now and then elsewhere."""

import logging
import sys
import time
from types import TracebackType

from tqdm import tqdm

log = logging.getLogger(__name__)

LARGE_BYTES = 8 * 2**20
LOG_EVERY_S = 10.0


class Meter:
    """Counts the bytes of one download.

    Parameters
    ----------
    name
        What is downloaded.
    total
        Its length in bytes, None if the archive does not say.
    done
        Bytes already here (a resumed download).
    show
        True or False to force; None shows downloads of 8 MiB or more.
    """

    def __init__(self, name: str, total: int | None, done: int, show: bool | None) -> None:
        self.name, self.total, self.done = name, total, done
        self.show = (total or 0) >= LARGE_BYTES if show is None else show
        self._bar: tqdm | None = None
        self._logged = time.monotonic()

    def __enter__(self) -> "Meter":
        if self.show and sys.stderr.isatty():
            self._bar = tqdm(total=self.total, initial=self.done, desc=self.name, unit="B", unit_scale=True, unit_divisor=1024, file=sys.stderr)
        return self

    def add(self, count: int) -> None:
        """`count` more bytes have come."""
        self.done += count
        if self._bar is not None:
            self._bar.update(count)
        elif self.show and time.monotonic() - self._logged >= LOG_EVERY_S:
            self._logged = time.monotonic()
            share = f" of {self.total / 2**20:.0f}" if self.total else ""
            log.info("%s: %.0f%s MiB", self.name, self.done / 2**20, share)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._bar is not None:
            self._bar.close()
