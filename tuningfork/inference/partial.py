"""The part of a prediction that is done, on disk, so that an interrupted job goes on where it was: in the middle of a shard."""

import hashlib
import logging
import shutil
import time
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from tuningfork.files import atomic_path, digest_of

__all__ = ["PartialRows", "forget", "network_digest"]

log = logging.getLogger(__name__)
SECONDS = 20.0
"""Work that an interruption may cost, about."""


class PartialRows:
    """Rows of arrays that are filled in a known order, written part by part.

    A part is one file, ``<start>-<stop>.npz`` in the folder of the fingerprint, with the rows ``order[start:stop]`` of every array. It is whole or
    absent, and one that cannot be read is as one that is absent: the rows are made again. Without a folder nothing is kept.

    Parameters
    ----------
    folder : path or None
        Of this prediction, for all its networks.
    about
        JSON-able: all that decides the numbers. State of anything else is not used.
    order : ndarray of int, shape (M,)
        Rows in the order in which they are made.
    arrays : dict of str to ndarray, shape (N, ...)
        What is filled; `load` fills it too.
    seconds
        A part is written when the one before is that old.
    """

    def __init__(self, folder: str | Path | None, about: Any, order: np.ndarray, arrays: Mapping[str, np.ndarray], *, seconds: float = SECONDS) -> None:
        self.folder = None if folder is None else Path(folder) / digest_of(about)[:32]
        self.order, self.arrays, self.seconds = order, arrays, seconds
        self.done = self.written = 0
        self._last = time.monotonic()

    def load(self) -> int:
        """Take up what is there, as far as it goes without a gap; the number of rows, in order, that need not be made again."""
        for part in sorted(self.folder.glob("*-*.npz")) if self.folder is not None and self.folder.is_dir() else []:
            start, stop = (int(number) for number in part.stem.split("-"))
            if start != self.done or stop > len(self.order) or not self._take(part, start, stop):
                break
            self.done = self.written = stop
        if self.done:
            log.info("going on after %d of %d stamps, of %s", self.done, len(self.order), self.folder)
        return self.done

    def add(self, count: int) -> None:
        """The next `count` rows, in order, are in the arrays."""
        self.done += count
        if self.folder is not None and time.monotonic() - self._last >= self.seconds:
            self.write()

    def finish(self) -> None:
        """All rows are there; what there is of a state is completed, so that the next network's interruption costs nothing of this one."""
        if self.written:
            self.write()

    def write(self) -> None:
        """Write the rows since the last part."""
        if self.folder is None or self.done == self.written:
            return
        rows = self.order[self.written : self.done]
        with atomic_path(self.folder / f"{self.written:012d}-{self.done:012d}.npz") as path, open(path, "wb") as file:
            np.savez(file, **{name: values[rows] for name, values in self.arrays.items()})
        self.written, self._last = self.done, time.monotonic()

    def _take(self, part: Path, start: int, stop: int) -> bool:
        rows = self.order[start:stop]
        try:
            with np.load(part, allow_pickle=False) as file:
                found = {name: file[name] for name in self.arrays}
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            log.warning("%s cannot be read (%s): predicting from there", part, error)
            return False
        if any(values.shape != self.arrays[name][rows].shape or values.dtype != self.arrays[name].dtype for name, values in found.items()):
            log.warning("%s holds other rows than are wanted: predicting from there", part)
            return False
        for name, values in found.items():
            self.arrays[name][rows] = values
        return True


def forget(folder: str | Path) -> None:
    """Remove the state of a prediction that is published."""
    shutil.rmtree(folder, ignore_errors=True)
    try:
        Path(folder).parent.rmdir()
    except OSError:
        pass


def network_digest(network: nn.Module) -> str:
    """SHA-256 over names, types, shapes and bytes of all tensors of a network."""
    digest = hashlib.sha256()
    for name, tensor in network.state_dict().items():
        digest.update(f"{name}:{tensor.dtype}:{tuple(tensor.shape)};".encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
