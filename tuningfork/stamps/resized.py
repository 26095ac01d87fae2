"""Stamps seen at another size: averaged by area when they are taken, with everything else as it was."""

from collections.abc import Mapping, Sequence

import numpy as np

from tuningfork.errors import StampError
from tuningfork.stamps.resample import Resampler
from tuningfork.stamps.store import StampSet

__all__ = ["ResizedStamps", "resized"]

CHUNK_BYTES = 32_000_000


class ResizedStamps:
    """The stamps of a set, averaged by area to fewer pixels; a set of stamps like any other.

    The field of view stays, the pixels grow: what a survey of coarser sampling would have stored. Scalars stay too: a sky level is a surface
    brightness, and ``sky_sigma``, the noise of a pixel of the whole stamp, only sets the stretch of asinh normalisations, which is then the same
    for every size.

    Parameters
    ----------
    stamps
        The set, with square stamps.
    pixels : int
        Side wanted, at most that of the stamps.

    Raises
    ------
    StampError
        A side that is larger than that of the stamps.
    """

    def __init__(self, stamps: StampSet, pixels: int) -> None:
        channels, height, width = stamps.shape
        if height != width or not 0 < pixels <= height:
            raise StampError(f"stamps of {height} x {width} pixels cannot be averaged to {pixels} x {pixels}")
        self._stamps = stamps
        self.shape: tuple[int, ...] = (channels, pixels, pixels)
        self.dtype: np.dtype = np.dtype(stamps.dtype)
        self._weights = Resampler(pixels).weights(np.zeros((2, 1)), np.array([float(height)]), height)[0, 0].copy()

    @property
    def object_id(self) -> np.ndarray:
        """Ids, (N,)."""
        return self._stamps.object_id

    @property
    def status(self) -> np.ndarray:
        """Statuses, (N,)."""
        return self._stamps.status

    @property
    def scalars(self) -> Mapping[str, np.ndarray]:
        """Numbers of each stamp, (N,) by name."""
        return self._stamps.scalars

    def __len__(self) -> int:
        return len(self._stamps)

    def index_of(self, ids: Sequence[str] | np.ndarray) -> np.ndarray:
        """Row numbers of these ids."""
        return self._stamps.index_of(ids)

    def take(self, indices: Sequence[int] | np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
        """The stamps of these rows at the new size, (n, C, pixels, pixels), each the same whatever is taken with it; 8-bit ones are rounded."""
        indices = np.asarray(indices, dtype=np.int64)
        if out is None:
            out = np.empty((len(indices), *self.shape), dtype=self.dtype)
        step = max(1, CHUNK_BYTES // (int(np.prod(self._stamps.shape)) * 4))
        for start in range(0, len(indices), step):
            raw = self._stamps.take(indices[start : start + step]).astype(np.float32, copy=False)
            small = np.matmul(np.matmul(self._weights, raw), self._weights.T)
            out[start : start + step] = small if self.dtype.kind == "f" else np.clip(np.rint(small), 0, 255)
        return out


def resized(stamps: StampSet, pixels: int | None) -> "StampSet | ResizedStamps":
    """The stamps with `pixels` a side; as they are for None."""
    return stamps if pixels is None else ResizedStamps(stamps, pixels)
