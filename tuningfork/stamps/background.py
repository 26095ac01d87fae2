"""Sky level and noise of many small samples of pixels at once, robust against sources that stand in them."""

import numpy as np

__all__ = ["border_indices", "robust_sky"]


def border_indices(n: int, width: int, at_most: int) -> np.ndarray:
    """Flat indices (of an n x n window) of its border of this width, thinned evenly to at most so many."""
    inner = np.zeros((n, n), dtype=bool)
    inner[width : n - width, width : n - width] = True
    flat = np.flatnonzero(~inner)
    return flat[:: max(1, -(-len(flat) // at_most))]


def robust_sky(samples: np.ndarray, *, clip: float = 3.0, iterations: int = 5) -> tuple[np.ndarray, np.ndarray]:
    """Sky and its standard deviation a pixel, of each row.

    Rows are sorted once; clipping is then only a move of two ranks. The deviation is taken from the lower half (median minus the 15.87
    percentile), because neighbours only add light, and the level is SExtractor's mode (2.5 median - 1.5 mean of what was not clipped)
    unless the row is so skewed (0.3 sigma) that the median is safer (Bertin & Arnouts 1996).

    Parameters
    ----------
    samples : ndarray of float, shape (B, m)
        NaN is missing.
    clip : float
        Pixels beyond so many deviations from the median are left out.

    Returns
    -------
    sky, sigma : ndarray of float64, shape (B,)
        NaN where a row has no pixel.
    """
    values = np.sort(np.asarray(samples), axis=1)
    count, m = values.shape
    if m == 0:
        return np.full(count, np.nan), np.full(count, np.nan)
    row = np.arange(count)
    low, high = np.zeros(count, dtype=np.int64), np.isfinite(values).sum(axis=1)
    empty = high == 0

    def middle() -> tuple[np.ndarray, np.ndarray]:
        kept = np.maximum(high - low, 1)
        median = 0.5 * (values[row, low + (kept - 1) // 2].astype(np.float64) + values[row, np.minimum(low + kept // 2, m - 1)])
        place = low + 0.158655 * (kept - 1)
        rank = place.astype(np.int64)
        below, above = values[row, rank].astype(np.float64), values[row, np.minimum(rank + 1, np.maximum(high - 1, 0))]
        return median, median - (below + (place - rank) * (above - below))

    with np.errstate(invalid="ignore"):
        for _ in range(iterations):
            median, sigma = middle()
            new_low = (values < (median - clip * sigma).astype(values.dtype)[:, None]).sum(axis=1)
            new_high = (values <= (median + clip * sigma).astype(values.dtype)[:, None]).sum(axis=1)
            # rounding must not clip everything: a constant row keeps its pixels
            keep = new_high > new_low
            new_low, new_high = np.where(keep, new_low, low), np.where(keep, new_high, high)
            if np.array_equal(new_low, low) and np.array_equal(new_high, high):
                break
            low, high = new_low, new_high
        median, sigma = middle()
        place = np.arange(m)
        kept = (place >= low[:, None]) & (place < high[:, None])
        mean = np.where(kept, values, 0).sum(axis=1, dtype=np.float64) / np.maximum(high - low, 1)
        sky = np.where(np.abs(mean - median) < 0.3 * sigma, 2.5 * median - 1.5 * mean, median)
    sky[empty], sigma[empty] = np.nan, np.nan
    return sky, sigma
