"""Files of which only some bytes are here: of full length on disk, with holes, and beside them a list of what is present.

``<name>.sparse.fits`` has its list in ``<name>.sparse.fits.present.npy`` (int64, shape (K, 2)) and its origin in ``<name>.sparse.fits.json``.
A byte is listed only after it was synced, so a killed process leaves bytes that nobody counts and never a hole that somebody does.
"""

import dataclasses
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from tuningfork.archives.intervals import Intervals
from tuningfork.errors import ArchiveError
from tuningfork.files import atomic_path, read_json, write_json

SUFFIX = ".sparse"
"""Before the file's own extension: no sparse file can be taken for a whole one, not even after its list was lost."""


def present_in(path: Path) -> Intervals | None:
    """Which bytes of a file are here: None for an ordinary file, all of which is.

    Raises
    ------
    ArchiveError
        The file is a sparse one, and its list is lost or damaged.
    """
    if SUFFIX not in path.suffixes:
        return None
    try:
        # Mapped, so that a header which promises more than the file has is an error and no allocation.
        pairs = np.array(np.load(_list_of(path), allow_pickle=False, mmap_mode="r"))
        if pairs.dtype != np.int64 or pairs.ndim != 2 or pairs.shape[1] != 2:
            raise ValueError(f"an array {pairs.dtype} {pairs.shape}")
    except (OSError, ValueError, EOFError) as error:
        raise ArchiveError(f"{path}: a partial copy whose list of what is here cannot be read ({error}); delete both and run again") from error
    return Intervals.of(pairs[:, 0], pairs[:, 1])


@dataclasses.dataclass
class SparseFile:
    """One such file, open for adding to it; use it as a context manager, one at a time (see `tuningfork.archives.cache.locked`).

    Parameters
    ----------
    path
        Its name contains ``.sparse.``.
    origin
        JSON-able; ``length`` is the length of the whole file.
    """

    path: Path
    origin: dict[str, Any]

    def __post_init__(self) -> None:
        self._file: int | None = None
        self.present = Intervals.none()
        if SUFFIX not in self.path.suffixes:
            raise ValueError(f"{self.path}: the name of a partial copy must contain {SUFFIX}.")

    @property
    def length(self) -> int:
        """Bytes of the whole file."""
        return int(self.origin["length"])

    def __enter__(self) -> "SparseFile":
        self._make_if_absent()
        adopted = self.path.is_symlink()
        self._file = os.open(self.path, os.O_RDONLY if adopted else os.O_RDWR)
        self.present = Intervals.of([0], [self.length]) if adopted else present_in(self.path) or Intervals.none()
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def write(self, start: int, data: bytes | memoryview) -> None:
        """Put bytes in their place; they are not listed yet. Safe to call from several threads for different places.

        Raises
        ------
        ArchiveError
            The bytes lie beyond the file, or the disk does not take them.
        """
        assert self._file is not None, "the file is not open"
        if start < 0 or start + len(data) > self.length:
            raise ArchiveError(f"{self.path}: bytes {start}-{start + len(data) - 1} lie beyond its {self.length}")
        view = memoryview(data)
        try:
            while len(view):
                done = os.pwrite(self._file, view, start)
                start, view = start + done, view[done:]
        except OSError as error:
            raise ArchiveError(f"{self.path}: cannot be written ({error}); free some space and run again") from error

    def has(self, start: int, stop: int) -> bool:
        """Whether these bytes are here and listed."""
        return bool(self.present.covers(np.array([start]), np.array([stop]))[0])

    def read(self, start: int, stop: int) -> bytes:
        """Bytes that are here.

        Raises
        ------
        ArchiveError
            Some of them were not fetched.
        """
        assert self._file is not None, "the file is not open"
        if not self.has(start, stop):
            raise ArchiveError(f"{self.path}: bytes {start}-{stop - 1} were not fetched")
        return os.pread(self._file, stop - start, start)

    def commit(self, fresh: Iterable[Intervals]) -> None:
        """Sync what was written and list it as present."""
        assert self._file is not None, "the file is not open"
        several = list(fresh)
        if not several:
            return
        os.fsync(self._file)
        starts, stops = ([np.asarray(getattr(one, side)) for one in (self.present, *several)] for side in ("start", "stop"))
        self.present = Intervals.of(np.concatenate(starts), np.concatenate(stops))
        self._list()

    def adopt(self, whole: Path) -> None:
        """Point at a whole copy that lies elsewhere on this machine; all of it is present."""
        assert self._file is not None, "the file is not open"
        if (size := whole.stat().st_size) != self.length:
            raise ArchiveError(f"{whole}: {size} bytes where {self.length} were announced; delete it and run again")
        link = self.path.with_name(f".{self.path.name}.{os.getpid()}.link")
        link.unlink(missing_ok=True)
        link.symlink_to(whole.resolve())
        os.close(self._file)
        self._file = None
        link.replace(self.path)
        self._file = os.open(self.path, os.O_RDONLY)
        self.present = Intervals.of([0], [self.length])
        self._list()

    def _make_if_absent(self) -> None:
        try:
            if self.path.stat().st_size == self.length and read_json(_origin_of(self.path)) == self.origin and present_in(self.path) is not None:
                return
        except (OSError, ValueError, ArchiveError):
            pass
        # The list goes first and the file comes last, so that at no time an old list speaks for a new file.
        self.path.unlink(missing_ok=True)
        self.present = Intervals.none()
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._list()
        write_json(_origin_of(self.path), self.origin)
        with atomic_path(self.path) as part, open(part, "wb") as file:
            file.truncate(self.length)

    def _list(self) -> None:
        with atomic_path(_list_of(self.path)) as part, open(part, "wb") as file:
            np.save(file, np.stack([self.present.start, self.present.stop], axis=1))


def forget(path: Path) -> None:
    """Remove a sparse file with its list and origin."""
    for one in (path, _list_of(path), _origin_of(path)):
        one.unlink(missing_ok=True)


def _list_of(path: Path) -> Path:
    return path.with_name(f"{path.name}.present.npy")


def _origin_of(path: Path) -> Path:
    return path.with_name(f"{path.name}.json")
