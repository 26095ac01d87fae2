"""Sets of whole numbers as sorted, disjoint, half-open intervals: which bytes of a file are wanted, which are here, which are missing.

Pure arithmetic on arrays; no file and no network.
"""

import dataclasses

import numpy as np

_BEYOND = np.iinfo(np.int64).max


@dataclasses.dataclass(frozen=True)
class Intervals:
    """K intervals ``[start, stop)``, in order, none empty, none touching another; make them with `Intervals.of`.

    Attributes
    ----------
    start, stop
        int64 arrays of shape (K,).
    """

    start: np.ndarray
    stop: np.ndarray

    @classmethod
    def of(cls, start: np.ndarray | list[int], stop: np.ndarray | list[int], *, gap: int = 0) -> "Intervals":
        """The union of any intervals, in any order, overlapping or empty; with `gap`, what lies between two that are no further apart belongs to it too."""
        start, stop = np.asarray(start, dtype=np.int64).ravel(), np.asarray(stop, dtype=np.int64).ravel()
        some = start < stop
        start, stop = start[some], stop[some]
        order = np.argsort(start, kind="stable")
        start, stop = start[order], np.maximum.accumulate(stop[order])
        if len(start) == 0:
            return cls(start, stop)
        opens = np.flatnonzero(np.append(True, start[1:] - stop[:-1] > gap))
        return cls(start[opens], stop[np.append(opens[1:], len(stop)) - 1])

    @classmethod
    def none(cls) -> "Intervals":
        """The empty set."""
        return cls.of([], [])

    def __len__(self) -> int:
        return len(self.start)

    @property
    def total(self) -> int:
        """How many numbers there are in all intervals."""
        return int((self.stop - self.start).sum())

    def merged(self, gap: int) -> "Intervals":
        """With every gap of at most `gap` filled."""
        return Intervals.of(self.start, self.stop, gap=gap)

    def plus(self, other: "Intervals") -> "Intervals":
        """The union."""
        return Intervals.of(np.concatenate([self.start, other.start]), np.concatenate([self.stop, other.stop]))

    def minus(self, other: "Intervals") -> "Intervals":
        """What is here and not in `other`."""
        left = Intervals.of(np.append(np.int64(0), other.stop), np.append(other.start, _BEYOND))
        first = np.searchsorted(left.stop, self.start, side="right")
        count = np.searchsorted(left.start, self.stop, side="left") - first
        mine = np.repeat(np.arange(len(self)), count)
        theirs = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count) + np.repeat(first, count)
        return Intervals.of(np.maximum(self.start[mine], left.start[theirs]), np.minimum(self.stop[mine], left.stop[theirs]))

    def cut(self, longest: int) -> "Intervals":
        """The same numbers in pieces of at most `longest`; pieces of one interval touch, so this is for sending and not for arithmetic."""
        pieces = -(-(self.stop - self.start) // longest)
        number = np.arange(pieces.sum()) - np.repeat(np.cumsum(pieces) - pieces, pieces)
        start = np.repeat(self.start, pieces) + number * longest
        return Intervals(start, np.minimum(start + longest, np.repeat(self.stop, pieces)))

    def covers(self, start: np.ndarray, stop: np.ndarray) -> np.ndarray:
        """Of each ``[start, stop)`` (arrays of one shape), whether all of it is here; true for an empty one."""
        place = np.searchsorted(self.start, start, side="right") - 1
        here = np.append(self.stop, np.int64(-1))[place]  # place -1 takes the appended one
        return (here >= stop) | (start >= stop)
