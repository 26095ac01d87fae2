"""How far a download is: a bar on a terminal, a line in the log now and then elsewhere."""

import collections
import logging
import re
import sys
import time
from types import TracebackType

from tqdm import tqdm

from tuningfork.archives.request import Fetched
from tuningfork.errors import TuningforkError

log = logging.getLogger(__name__)

LARGE_BYTES = 8 * 2**20
LOG_EVERY_S = 10.0
# Different reasons that a summary tells; a run that meets more has a reason for each object, and the ledger has them all.
MAX_REASONS = 12


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


class Tally:
    """Counts the outcomes of a batch: a bar with rate and time left on a terminal, log lines now and then elsewhere, one summary at the end.

    Parameters
    ----------
    what
        What is fetched, in the plural.
    total
        How many, None if nobody knows.
    show
        False silences the bar and the lines between, not the summary.
    """

    def __init__(self, what: str, total: int | None, show: bool | None) -> None:
        self.what, self.total, self.show = what, total, show is not False
        self.cached = self.fetched = 0
        self.reasons: collections.Counter[str] = collections.Counter()
        self.examples: dict[str, str] = {}
        self._bar: tqdm | None = None
        self._began = self._logged = time.monotonic()
        self._mark = 0

    @property
    def failed(self) -> int:
        """How many did not come."""
        return self.reasons.total()

    @property
    def done(self) -> int:
        """How many have their outcome."""
        return self.cached + self.fetched + self.failed

    def __enter__(self) -> "Tally":
        if self.show and sys.stderr.isatty():
            self._bar = tqdm(total=self.total, desc=self.what, unit="", file=sys.stderr, smoothing=0.05)
        return self

    def add(self, outcome: Fetched | TuningforkError, name: str) -> None:
        """One more outcome, of the object `name`."""
        if not isinstance(outcome, Fetched):
            told = reason_of(outcome)
            if told not in self.reasons and len(self.reasons) >= MAX_REASONS:
                told = "other reasons"
            self.reasons[told] += 1
            self.examples.setdefault(told, name)
        elif outcome.from_cache:
            self.cached += 1
        else:
            self.fetched += 1
        if self._bar is not None:
            self._bar.update()
            if self.failed:
                self._bar.set_postfix_str(f"{self.failed} failed", refresh=False)
        elif self.show and (now := time.monotonic()) - self._logged >= LOG_EVERY_S:
            log.info("%s", self._line(now))
            self._logged, self._mark = now, self.done - self.cached

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._bar is not None:
            self._bar.close()
        if not self.done:
            return
        ended = "" if kind is None else ", then stopped"
        counts = f"{self.what}: {self.fetched} from the archive, {self.cached} from the cache, {self.failed} failed{ended}"
        took = time.monotonic() - self._began
        why = "; ".join(f"{count} x {told} (such as {self.examples[told]})" for told, count in self.reasons.most_common())
        log.log(logging.WARNING if self.reasons else logging.INFO, "%s, in %s%s", counts, _span(took), f": {why}" if why else "")

    def _line(self, now: float) -> str:
        """How far it is, at the rate of the time since the last line; what came from the cache says nothing about the archive's rate."""
        rate = (self.done - self.cached - self._mark) / (now - self._logged)
        of = f" of {self.total} ({100 * self.done / self.total:.0f} %)" if self.total else ""
        left = f", {_span((self.total - self.done) / rate)} left" if self.total and rate > 0 else ""
        return f"{self.what}: {self.done}{of}, {rate:.2g}/s from the archive{left}, {self.failed} failed"


def reason_of(error: BaseException) -> str:
    """Why something failed, without what is particular to one object: addresses, paths and long numbers are left out, so that equal reasons are equal."""
    cause = error.__cause__ if isinstance(error.__cause__, TuningforkError) else error
    text = re.sub(r"\bhttps?://[^\s)]+|(?<!\w)/[^\s/]+/[^\s)]+", "...", str(cause))
    text = re.sub(r"(?<!HTTP )(?<![\w.])-?\d[\d.:-]*", "#", text)
    kind = "" if type(error).__name__ in ("ArchiveError", "Transient") else f"{type(error).__name__}: "
    return f"{kind}{text[:160]}"


def _span(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
