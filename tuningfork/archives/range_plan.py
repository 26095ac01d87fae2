"""Which byte ranges to ask for, in how many requests, or whether the whole file is the better bargain. No file and no network.

Two things are paid: bytes, which the archive moves, and time, which the user waits: ``requests / rate + bytes / bandwidth``, at the polite
rate of the archive's entry and an assumed bandwidth. Filling the gap between two neighbours trades bytes for requests. `make_plan` tries
gaps from the overhead of one more part upwards, doubling, and takes

- for ``auto`` the plan that moves the fewest bytes among those that take no longer than downloading the whole file, counting the time that
  earlier calls have spent on the same file: so many small additions never cost much more than the whole would have;
- for ``ranges`` the plan that moves the fewest bytes in at most `MAX_REQUESTS` requests;

and in both cases the whole file, if no plan is left or the plan would move more than `WHOLE_SHARE` of it.
"""

import dataclasses
import math
from typing import Literal

import numpy as np

from tuningfork.archives.intervals import Intervals
from tuningfork.archives.request import Archive

Read = Literal["ranges", "auto"]

BYTES_PER_SECOND = 1e7
"""Assumed bandwidth between an archive and its user; only the ratio to the request rate matters, and only for ``auto``."""
PART_BYTES = 128
"""Boundary and headers of one part of a multipart reply, as Apache writes them."""
REPLY_BYTES = 400
"""Head of one reply."""
MAX_PARTS = 200
"""Ranges in one request: the default limit of Apache (MaxRanges), which answers more of them with the whole file. What MAST has set is not known."""
MAX_REQUEST_BYTES = 16 * 2**20
"""A longer range is asked for in pieces: each is held in memory, and a cut costs at most one."""
MAX_REQUESTS = 2000
WHOLE_SHARE = 0.6


@dataclasses.dataclass(frozen=True)
class Plan:
    """What to ask for.

    Attributes
    ----------
    whole
        Download the whole file; then `parts` is all of it.
    parts
        The bytes to be asked for, neighbours merged.
    several
        Whether several parts go into one request.
    requests
        How many requests that takes.
    moved
        Bytes over the wire, with the heads of parts.
    length
        Bytes of the whole file.
    seconds
        Estimated time.
    """

    whole: bool
    parts: Intervals
    several: bool
    requests: int
    moved: int
    length: int
    seconds: float

    @property
    def share(self) -> float:
        """Bytes over the wire, as a fraction of the file."""
        return self.moved / self.length

    def groups(self) -> list[Intervals]:
        """The parts of each request."""
        return _groups(self.parts, self.several)


def make_plan(missing: Intervals, length: int, archive: Archive, *, several: bool, read: Read, present: Intervals | None = None) -> Plan:
    """How to get `missing`.

    Parameters
    ----------
    missing
        Bytes that are wanted and not here.
    length
        Bytes of the file.
    archive
        Its rate is the price of a request.
    several
        Whether the server answers several ranges at once.
    read
        ``ranges`` or ``auto``; see the module.
    present
        What is here from earlier calls.
    """
    whole = Plan(True, Intervals.of([0], [length]), False, 1, length, length, _seconds(1, length, archive))
    spent = _priced(present, length, archive, several).seconds if present is not None else 0.0
    candidates = [_priced(missing.merged(gap), length, archive, several) for gap in _gaps(length, several)]
    if read == "auto":
        candidates = [plan for plan in candidates if spent + plan.seconds <= whole.seconds]
    else:
        candidates = [plan for plan in candidates if plan.requests <= MAX_REQUESTS]
    best = min(candidates, key=lambda plan: plan.moved, default=whole)
    return whole if best.share > WHOLE_SHARE else best


def pixel_bytes(offset: int, itemsize: int, shape: tuple[int, int], row: np.ndarray, column: np.ndarray, size: np.ndarray) -> Intervals:
    """Where in a file the pixels of square windows lie.

    Parameters
    ----------
    offset
        Of the first pixel of the plane, in bytes.
    itemsize
        Bytes a pixel.
    shape
        Rows and columns of the plane.
    row, column, size : ndarray of int, shape (N,)
        First pixel (0-based; may lie off the image) and side of each window; only what lies on the image counts.
    """
    row, column, size = (np.asarray(values, dtype=np.int64) for values in (row, column, size))
    low, high = np.clip(row, 0, shape[0]), np.clip(row + size, 0, shape[0])
    left, right = np.clip(column, 0, shape[1]), np.clip(column + size, 0, shape[1])
    lines = np.maximum(high - low, 0)
    line = np.arange(lines.sum()) - np.repeat(np.cumsum(lines) - lines, lines) + np.repeat(low, lines)
    begin = offset + line * shape[1] * itemsize
    return Intervals.of(begin + np.repeat(left, lines) * itemsize, begin + np.repeat(right, lines) * itemsize)


def _gaps(length: int, several: bool) -> list[int]:
    smallest = PART_BYTES if several else REPLY_BYTES
    return [smallest * 2**k for k in range(max(1, math.ceil(math.log2(max(2, length / smallest)))))]


def _priced(parts: Intervals, length: int, archive: Archive, several: bool) -> Plan:
    cuts = parts.cut(MAX_REQUEST_BYTES)
    requests = max(math.ceil(len(cuts) / MAX_PARTS), math.ceil(parts.total / MAX_REQUEST_BYTES)) if several else len(cuts)
    moved = parts.total + (PART_BYTES * len(cuts) if several else REPLY_BYTES * requests)
    return Plan(False, parts, several, requests, moved, length, _seconds(requests, moved, archive))


def _seconds(requests: int, moved: int, archive: Archive) -> float:
    return requests / archive.requests_per_second + moved / BYTES_PER_SECOND


def _groups(parts: Intervals, several: bool) -> list[Intervals]:
    cuts = parts.cut(MAX_REQUEST_BYTES)
    before = np.append(0, np.cumsum(cuts.stop - cuts.start))
    groups, first = [], 0
    while first < len(cuts):
        end = first + 1
        if several:
            end = max(end, min(first + MAX_PARTS, int(np.searchsorted(before, before[first] + MAX_REQUEST_BYTES, side="right")) - 1))
        groups.append(Intervals(cuts.start[first:end], cuts.stop[first:end]))
        first = end
    return groups
