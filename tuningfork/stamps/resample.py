"""Area-exact resampling of square windows at sub-pixel position and size, in batches.

A pixel is a square of constant surface brightness. The mean over an output pixel is separable, so each stamp is two small matrix products, and
the sum of output pixels times their area is the flux of the window exactly.
"""

import numpy as np

__all__ = ["Resampler", "bucket_size", "resample_windows"]


def bucket_size(side: np.ndarray) -> np.ndarray:
    """Whole number of pixels (int64) that holds windows of this side (float, pixels) anywhere, rounded up to at most 12 % more.

    Few distinct sizes mean large batches; the padding gets weight zero.
    """
    need = np.ceil(np.asarray(side, dtype=np.float64)).astype(np.int64) + 1
    step = 2 ** np.maximum(np.floor(np.log2(np.maximum(need, 1))).astype(np.int64) - 3, 0)
    return -(-need // step) * step


class Resampler:
    """Resample windows of any size to ``pixels`` x ``pixels``; scratch memory is kept between calls, for first touch of new memory is slow.

    Parameters
    ----------
    pixels : int
        Side of the output.
    """

    def __init__(self, pixels: int) -> None:
        self.pixels = pixels
        self._scratch: dict[str, np.ndarray] = {}

    def buffer(self, name: str, shape: tuple[int, ...], dtype: type = np.float32) -> np.ndarray:
        """A C-contiguous view of reused memory; what an earlier call of the same name left there is overwritten."""
        size = int(np.prod(shape))
        if name not in self._scratch or self._scratch[name].size < size or self._scratch[name].dtype != dtype:
            self._scratch[name] = np.empty(size, dtype)
        return self._scratch[name][:size].reshape(shape)

    def weights(self, start: np.ndarray, side: np.ndarray, n: int, *, lengths: bool = False) -> np.ndarray:
        """Mean-taking weights along both axes.

        Parameters
        ----------
        start : ndarray, shape (2, B)
            Where the window begins (rows, columns), in pixels from the outer edge of the first input pixel.
        side : ndarray, shape (B,)
            Side of the window, in input pixels.
        n : int
            Number of input pixels an axis.
        lengths : bool
            Give the covered lengths in input pixels instead, which are the weights times ``side / pixels``: one pass over them less.

        Returns
        -------
        ndarray of float32, shape (2, B, pixels, n)
            Each row is the fraction of an output pixel that each input pixel covers; rows sum to 1 where the window lies in the input.
        """
        count = start.shape[1]
        step = side / self.pixels
        edges = start[:, :, None] + np.arange(self.pixels + 1) * step[:, None]
        # length of each input pixel left of each edge, in units of an output pixel: exact to float32 because whole pixels are subtracted first
        left = self.buffer("left", (2, count, self.pixels + 1, n))
        np.subtract(edges.astype(np.float32)[..., None], np.arange(n, dtype=np.float32), out=left)
        np.clip(left, 0, 1, out=left)
        weights = self.buffer("weights", (2, count, self.pixels, n))
        np.subtract(left[:, :, 1:], left[:, :, :-1], out=weights)
        if not lengths:
            weights *= (1 / step).astype(np.float32)[:, None, None]
        return weights

    def apply(self, weights: np.ndarray, windows: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
        """Two matrix products a window: (B, pixels, pixels) float32 means of `windows` (B, n, n), which must be finite."""
        _, count, pixels, n = weights.shape
        half = np.matmul(weights[0], windows, out=self.buffer("half", (count, pixels, n)))
        return np.matmul(half, weights[1].swapaxes(1, 2), out=self.buffer("result", (count, pixels, pixels)) if out is None else out)


def resample_windows(image: np.ndarray, x: np.ndarray, y: np.ndarray, side: np.ndarray, pixels: int) -> np.ndarray:
    """Resample squares of one image in memory.

    Parameters
    ----------
    image : ndarray, shape (H, W)
    x, y : ndarray, shape (N,)
        Centres, 0-based pixels (the centre of the first pixel is 0).
    side : ndarray, shape (N,)
        Sides, in pixels; beyond the image there is nothing (zero).
    pixels : int
        Side of the output.

    Returns
    -------
    ndarray of float32, shape (N, pixels, pixels)
        Area-weighted means; ``sum * (side / pixels)**2`` is the flux in the square.
    """
    x, y, side = (np.broadcast_to(np.asarray(v, dtype=np.float64), np.broadcast(x, y, side).shape) for v in (x, y, side))
    out = np.empty((len(x), pixels, pixels), dtype=np.float32)
    resampler = Resampler(pixels)
    sizes = bucket_size(side)
    for n in np.unique(sizes):
        rows = np.flatnonzero(sizes == n)
        for part in np.array_split(rows, max(1, len(rows) * int(n) * (int(n) + 2 * pixels) // 4_000_000)):
            corner = np.floor(np.stack([y[part], x[part]]) - side[part] / 2 + 0.5)
            first = corner.astype(np.int64)
            take = first[..., None] + np.arange(n)
            inside = [(take[axis] >= 0) & (take[axis] < image.shape[axis]) for axis in (0, 1)]
            index = [np.clip(take[axis], 0, image.shape[axis] - 1) for axis in (0, 1)]
            windows = image[index[0][:, :, None], index[1][:, None, :]].astype(np.float32)
            windows *= inside[0][:, :, None] & inside[1][:, None, :]
            start = np.stack([y[part], x[part]]) - side[part] / 2 + 0.5 - corner
            out[part] = resampler.apply(resampler.weights(start, side[part], int(n)), windows)
    return out
